"""Public keys in the Python library: rotation is followed, and invented key ids cost no requests."""

import asyncio
from typing import Any

import pytest
from support.keys import held_ring
from vigil_verify import InvalidToken
from vigil_verify.keys import KeySet
from vigil_verify.tokens import header_of


class Jwks:
    """The document, and how often it was read."""

    def __init__(self, *documents: Any) -> None:
        self.documents = list(documents)
        self.reads = 0

    def fetch(self) -> Any:
        self.reads += 1
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(document, Exception):
            raise document
        return document


def document() -> Any:
    return asyncio.run(held_ring()).jwks()


def read(keys: KeySet) -> None:
    keys.read(asked_at=float("inf"))


def test_a_new_key_is_found_and_one_that_has_gone_is_not_trusted_any_more() -> None:
    old, new = document(), document()
    jwks = Jwks(old, new)
    keys = KeySet(jwks.fetch)
    read(keys)
    header = header_of(new["keys"][0]["kid"])
    assert header not in keys.by_header
    keys._tried_at = float("-inf")  # as some seconds later
    assert keys.may_find(header)
    read(keys)
    assert set(keys.by_header) == {header_of(key["kid"]) for key in new["keys"]}


def test_invented_key_ids_are_looked_up_once_in_a_while() -> None:
    keys = KeySet(Jwks(document()).fetch)
    read(keys)
    assert not any(keys.may_find(header_of(f"invented-{number}")) for number in range(100))
    keys._tried_at = float("-inf")
    for header in ("", "e30", header_of("x" * 65), header_of("a b"), "A" * 1000):
        assert not keys.may_find(header)
    with pytest.raises(InvalidToken):
        keys.may_find("!")


@pytest.mark.parametrize(
    "instead",
    [
        OSError("no route"),
        {"keys": []},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AA"}]},
        {"keys": {"kty": "OKP"}},
        [],
        None,
    ],
    ids=["refused", "none", "a short key", "no list", "a list", "null"],
)
def test_a_failure_leaves_the_keys_that_were_known(instead: Any) -> None:
    good = document()
    jwks = Jwks(good, instead)
    keys = KeySet(jwks.fetch)
    read(keys)
    read(keys)
    assert jwks.reads == 2
    assert len(keys.by_header) == len(good["keys"])
