"""What a verifier does inside a service: it logs another issuer, and its calls belong to no request."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.keys import held_ring, random_session_id
from support.nodes import ROOT
from support.session_world import make_session
from vigil_verify import InvalidToken, Verifier

from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import AccessTokens

WARNING = "issuer and audience of a genuine token are"


@pytest.fixture
async def ring() -> KeyRing:
    return await held_ring(lambda: datetime.now(UTC))


@pytest.fixture
def token(ring: KeyRing) -> str:
    now = datetime.now(UTC)
    tokens = AccessTokens(ring, issuer="vigil", audience="vigil", lifetime=timedelta(minutes=15))
    return tokens.mint(make_session(now, session_id=random_session_id()), now=now)[0]


@pytest.fixture
async def url(ring: KeyRing) -> AsyncIterator[str]:
    async def jwks(_: web.Request) -> web.Response:
        return web.json_response(ring.jwks())

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", jwks)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def said_by_node(script: str, token: str, url: str) -> Any:
    """What a script of Node.js prints that verifies the token."""
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        url,
        cwd=ROOT / "tests" / "node-clients",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate(token.encode())
    return json.loads(out)


async def test_python_logs_the_other_issuer_once(token: str, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "vigil_verify")
    verifier = Verifier("https://other.example.org", urls=[url])
    try:
        for _ in range(2):
            with pytest.raises(InvalidToken):
                await verifier.verify_async(token)
        with pytest.raises(InvalidToken):
            await verifier.verify_async(token[:-8] + "AAAAAAAA")
    finally:
        verifier.close()
    [message] = [each for each in caplog.messages if WARNING in each]
    assert "('vigil', 'vigil'), expected ('https://other.example.org', 'vigil')" in message


async def test_node_logs_the_other_issuer_once(token: str, url: str) -> None:
    found = await said_by_node("other_issuer.mjs", token, url)
    assert found["codes"] == ["invalid_token", "invalid_token"]
    [message] = [each for each in found["warnings"] if WARNING in each]
    assert '["vigil","vigil"], expected ["https://other.example.org","vigil"]' in message


async def test_what_node_asks_vigil_belongs_to_no_request_of_the_service(token: str, url: str) -> None:
    found = await said_by_node("inside_a_request.mjs", token, url)
    assert found["userId"]
    outside = {("/.well-known/jwks.json", None), ("/api/server/revocations", None)}
    assert {(path, request) for path, request in found["calls"]} == outside
