"""The libraries for other services refuse what Vigil refuses."""

import asyncio
import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from support.forgeries import FORGERIES, Genuine, genuine_of
from support.keys import held_ring, random_session_id
from support.nodes import ROOT
from support.session_world import make_session
from vigil_verify import InvalidToken, TokenExpired
from vigil_verify.tokens import Claims, header_of, verify

from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import AccessTokens

NOW = datetime(2026, 11, 21, 9, 30, 0, 250_000, tzinfo=UTC)
ISSUER = "https://id.example.org"
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return asyncio.run(held_ring(lambda: NOW))


@pytest.fixture(scope="module")
def genuine(ring: KeyRing) -> Genuine:
    tokens = AccessTokens(ring, issuer=ISSUER, audience="vigil", lifetime=timedelta(minutes=15))
    token, _ = tokens.mint(make_session(NOW, session_id=random_session_id()), now=NOW)
    return genuine_of(token, ring)


def in_python(token: str, ring: KeyRing, now: datetime = NOW) -> Claims:
    keys = {}
    for jwk in ring.jwks()["keys"]:
        raw = base64.urlsafe_b64decode(jwk["x"] + "=")
        keys[header_of(jwk["kid"])] = Ed25519PublicKey.from_public_bytes(raw)
    return verify(token, keys, issuer=ISSUER, audience="vigil", now=now.timestamp(), leeway=5)


def in_node(tokens: list[str], ring: KeyRing, now: datetime = NOW) -> Any:
    asked = {"issuer": ISSUER, "now": now.timestamp(), "jwks": ring.jwks()["keys"], "tokens": tokens}
    done = subprocess.run(
        ["node", "forgeries.mjs"],
        cwd=ROOT / "tests" / "node-clients",
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_python_refuses_every_forgery(ring: KeyRing, genuine: Genuine) -> None:
    claims = genuine.claims
    found = in_python(genuine.token, ring)
    assert (found.user_id, found.session_id, found.expires_at) == (claims["sub"], claims["sid"], claims["exp"])
    for forgery in FORGERIES:
        try:
            in_python(forgery.make(genuine), ring)
        except InvalidToken:
            continue
        pytest.fail(f"accepted: {forgery.name}")


def test_node_refuses_every_forgery(ring: KeyRing, genuine: Genuine) -> None:
    first, *outcomes = in_node([genuine.token, *(each.make(genuine) for each in FORGERIES)], ring)
    assert first == "accepted"
    wrong = [
        (each.name, outcome)
        for each, outcome in zip(FORGERIES, outcomes, strict=True)
        if outcome != "invalid_token"
    ]
    assert wrong == []


def test_both_tolerate_clocks_that_differ_by_five_seconds(ring: KeyRing, genuine: Genuine) -> None:
    issued = datetime.fromtimestamp(genuine.claims["iat"], UTC)
    expires = datetime.fromtimestamp(genuine.claims["exp"], UTC)
    for now in (issued - 5 * SECOND, expires + 4.9 * SECOND):
        in_python(genuine.token, ring, now)
        assert in_node([genuine.token], ring, now) == ["accepted"]
    with pytest.raises(InvalidToken):
        in_python(genuine.token, ring, issued - 6 * SECOND)
    with pytest.raises(TokenExpired):
        in_python(genuine.token, ring, expires + 5 * SECOND)
    assert in_node([genuine.token], ring, issued - 6 * SECOND) == ["invalid_token"]
    assert in_node([genuine.token], ring, expires + 5 * SECOND) == ["token_expired"]
