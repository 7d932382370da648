"""Forged access tokens at the socket's door: `connect_error` with `invalid_token`, whatever they are."""

from collections.abc import Iterator

import pytest
from support.forgeries import sent_over_a_network
from support.forging import Forging, forging
from support.nodes import ServiceUrls
from support.raw_socket import RawSocket

# A frame longer than this closes the connection before it is read as anything.
LONGEST_FRAME = 999_900


@pytest.fixture(scope="module")
def forge(services: ServiceUrls) -> Iterator[Forging]:
    with forging(services) as made:
        yield made


async def refusal_of(forge: Forging, auth: object) -> object:
    """The data of the `connect_error`."""
    async with RawSocket.open(forge.node.url) as raw:
        answer = await raw.connect(auth)
    assert answer.kind == "4", f"let in: {answer}"
    return answer.data["data"]


async def test_the_genuine_token_and_the_forgers_copy_are_let_in(forge: Forging) -> None:
    for token in (forge.genuine.token, forge.genuine.signed()):
        async with RawSocket.open(forge.node.url) as raw:
            assert (await raw.connect({"token": token})).kind == "0"


async def test_asvs_9_1_1_and_9_1_2_and_9_2_2_no_forgery_is_let_in(forge: Forging) -> None:
    for name, token in sent_over_a_network(forge.genuine):
        await handshake_is_refused(name, token, forge)


async def handshake_is_refused(name: str, token: str, forge: Forging) -> None:
    if len(token) > LONGEST_FRAME:
        async with RawSocket.open(forge.node.url) as raw:
            await raw.send('40{"token":"' + token + '"}')
            assert await raw.receive() is None, name
        return
    # A text that no store takes is no token at all: the request itself is wrong.
    code = "invalid_request" if "\0" in token else "invalid_token"
    assert await refusal_of(forge, {"token": token}) == {"code": code, "retryable": False}, name


@pytest.mark.parametrize("token", [1, 1.5, True, [], {}, ["x"], {"$ne": None}], ids=repr)
async def test_what_is_no_text_is_no_token(forge: Forging, token: object) -> None:
    assert await refusal_of(forge, {"token": token}) == {"code": "invalid_request", "retryable": False}


@pytest.mark.parametrize("auth", [None, {}, {"token": None}], ids=repr)
async def test_without_a_token_nobody_is_let_in(forge: Forging, auth: object) -> None:
    assert await refusal_of(forge, auth) == {"code": "missing_token", "retryable": False}


async def test_a_live_socket_is_not_renewed_by_a_forgery(forge: Forging) -> None:
    """Every way in counts: `reauthenticate` refuses each, and the socket lives on with what it had."""
    async with RawSocket.open(forge.node.url) as raw:
        await raw.connect({"token": forge.genuine.token})
        for name, token in sent_over_a_network(forge.genuine)[::2]:
            if len(token) > 60_000:
                continue
            ack = await raw.wait_for("3", await raw.emit("reauthenticate", {"token": token}))
            code = "invalid_request" if not token or "\0" in token else "invalid_token"
            if ack.data[0]["code"] == "rate_limited":
                break
            assert (ack.data[0]["ok"], ack.data[0]["code"]) == (False, code), name
        ack = await raw.wait_for("3", await raw.emit("reauthenticate", {"token": forge.genuine.signed()}))
        assert ack.data[0]["ok"] is True
