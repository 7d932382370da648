"""What a verifier does inside a service: says why it refuses genuine tokens, and makes calls of no request."""

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
BEHIND = "the clock of this machine is behind: a genuine token was issued"


@pytest.fixture
async def ring() -> KeyRing:
    return await held_ring(lambda: datetime.now(UTC))


def minted(ring: KeyRing, now: datetime) -> str:
    tokens = AccessTokens(ring, issuer="vigil", audience="vigil", lifetime=timedelta(minutes=15))
    return tokens.mint(make_session(now, session_id=random_session_id()), now=now)[0]


@pytest.fixture
def token(ring: KeyRing) -> str:
    return minted(ring, datetime.now(UTC))


@pytest.fixture
def early_token(ring: KeyRing) -> str:
    """As it comes to a machine whose clock is ten minutes behind."""
    return minted(ring, datetime.now(UTC) + timedelta(minutes=10))


@pytest.fixture
async def url(ring: KeyRing) -> AsyncIterator[str]:
    async def jwks(_: web.Request) -> web.Response:
        return web.json_response(ring.jwks())

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", jwks)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def said_by_node(token: str, script: str, *arguments: str) -> Any:
    """What a script of Node.js prints that verifies the token."""
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        *arguments,
        cwd=ROOT / "tests" / "node-clients",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate(token.encode())
    return json.loads(out)


async def warnings_of_node(token: str, url: str, issuer: str) -> list[str]:
    """What Node.js logs about a token that it refuses, twice."""
    found = await said_by_node(token, "verifier_warnings.mjs", url, issuer)
    assert found["codes"] == ["invalid_token", "invalid_token"]
    return list(found["warnings"])


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


async def test_python_logs_once_that_its_clock_is_behind(
    early_token: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "vigil_verify")
    with Verifier("vigil", urls=[url]) as verifier:
        for _ in range(2):
            with pytest.raises(InvalidToken):
                await verifier.verify_async(early_token)
    [message] = [each for each in caplog.messages if BEHIND in each]
    assert message.endswith(" s ahead of it")


async def test_node_logs_the_other_issuer_once(token: str, url: str) -> None:
    warnings = await warnings_of_node(token, url, "https://other.example.org")
    [message] = [each for each in warnings if WARNING in each]
    assert '["vigil","vigil"], expected ["https://other.example.org","vigil"]' in message


async def test_node_logs_once_that_its_clock_is_behind(early_token: str, url: str) -> None:
    [message] = [each for each in await warnings_of_node(early_token, url, "vigil") if BEHIND in each]
    assert message.endswith(" s ahead of it")


async def test_what_node_asks_vigil_belongs_to_no_request_of_the_service(token: str, url: str) -> None:
    found = await said_by_node(token, "inside_a_request.mjs", url)
    assert found["userId"]
    outside = {("/.well-known/jwks.json", None), ("/api/server/revocations", None)}
    assert {(path, request) for path, request in found["calls"]} == outside
