"""Forged access tokens over HTTP: refused with 401 `invalid_token`, whatever they are, and never with 500."""

import asyncio
import json
import re
from collections.abc import Iterator

import aiohttp
import jwt
import pytest
from support.clients import ORIGIN
from support.forgeries import sent_over_a_network
from support.forging import Forging, forging
from support.nodes import ServiceUrls

ACCESS_COOKIE = "__Host-vigil_access"
# What aiohttp takes in one header; what is longer or has control characters in it is no HTTP to it.
LONGEST_HEADER = 8190
SENDABLE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
COOKIE_SAFE = re.compile(r"[A-Za-z0-9._~=-]+")


@pytest.fixture(scope="module")
def forge(services: ServiceUrls) -> Iterator[Forging]:
    with forging(services) as made:
        yield made


async def get_me(url: str, *headers: bytes) -> tuple[int, dict[str, object]]:
    """GET /me with these header lines byte for byte; the status and the JSON body."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
    lines = [b"GET /api/auth/me HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    try:
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        assert found is not None, head
        body = await reader.readexactly(int(found[1]))
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return int(head.split()[1]), json.loads(body)


async def test_the_genuine_token_and_the_forgers_copy_are_accepted(forge: Forging) -> None:
    for token in (forge.genuine.token, forge.genuine.signed()):
        status, body = await get_me(forge.node.url, b"Authorization: Bearer " + token.encode())
        assert status == 200, body
        status, body = await get_me(forge.node.url, f"Cookie: {ACCESS_COOKIE}={token}".encode())
        assert status == 200, body


async def test_asvs_9_1_1_and_9_1_2_and_9_2_2_no_forgery_is_accepted_as_bearer(forge: Forging) -> None:
    for name, token in sent_over_a_network(forge.genuine):
        await bearer_is_refused(name, token, forge)


async def bearer_is_refused(name: str, token: str, forge: Forging) -> None:
    raw = token.encode("utf-8", "surrogatepass")
    try:
        status, body = await get_me(forge.node.url, b"Authorization: Bearer " + raw)
    except (ConnectionError, asyncio.IncompleteReadError):
        assert len(raw) > LONGEST_HEADER, f"{name}: only what is far too long may be cut off unanswered"
        return
    if token.removesuffix("\r\n").strip(" \t") == forge.genuine.token:
        # Whitespace around a header's value is none of the value (RFC 9110, section 5.5), nor is its line's end.
        assert status == 200, name
        return
    refusal = (status, body["code"])
    if len(raw) > LONGEST_HEADER - 100 or not SENDABLE.fullmatch(token):
        # No header, so no request: refused before anybody asked who it is.
        refusals = {(401, "invalid_token"), (400, "invalid_request"), (431, "headers_too_large")}
        assert refusal in refusals, name
    elif not token.strip():
        assert refusal == (401, "missing_token"), name
    else:
        assert refusal == (401, "invalid_token"), name
    assert body["success"] is False
    assert set(body) == {"success", "code", "message", "requestId"}


async def test_no_forgery_is_accepted_as_cookie(forge: Forging) -> None:
    sent = 0
    for name, token in sent_over_a_network(forge.genuine):
        if not COOKIE_SAFE.fullmatch(token) or len(token) > LONGEST_HEADER - 100:
            continue
        sent += 1
        status, body = await get_me(forge.node.url, f"Cookie: {ACCESS_COOKIE}={token}".encode())
        assert (status, body["code"]) == (401, "invalid_token"), name
    assert sent > 40


async def test_a_token_counts_only_where_tokens_belong(forge: Forging) -> None:
    """Not in the query, which ends in logs; not as another scheme; and not as one of several."""
    good = forge.genuine.token.encode()
    url = forge.node.url
    elsewhere = {
        b"Authorization: Basic " + good: "missing_token",
        b"Authorization: " + good: "missing_token",
        b"Authorization: Bearer": "missing_token",
        b"Authorization: Bearer" + good: "missing_token",
        b"X-Access-Token: " + good: "missing_token",
        b"Cookie: access_token=" + good: "missing_token",
        b"Cookie: __Host-vigil_refresh_only=" + good: "missing_token",
        b"Authorization: Bearer " + good + b" " + good: "invalid_token",
        b"Authorization: Bearer " + good + b", Bearer " + good: "invalid_token",
        b"Authorization: Bearer " + good + b"\r\nAuthorization: Bearer " + good: "invalid_token",
        b"Authorization: Bearer x\r\nAuthorization: Bearer " + good: "invalid_token",
    }
    for line, code in elsewhere.items():
        status, body = await get_me(url, line)
        assert (status, body["code"]) == (401, code), line
    async with aiohttp.ClientSession() as http:
        answer = await http.get(f"{url}/api/auth/me", params={"access_token": good.decode()})
        assert answer.status == 401
    for accepted in (b"authorization: bearer " + good, b"Authorization:   BEARER   " + good + b"   "):
        status, body = await get_me(url, accepted)
        assert status == 200, body


async def test_a_bad_bearer_token_is_not_made_good_by_a_good_cookie(forge: Forging) -> None:
    cookie = f"Cookie: {ACCESS_COOKIE}={forge.genuine.token}\r\nOrigin: {ORIGIN}".encode()
    status, body = await get_me(forge.node.url, cookie, b"Authorization: Bearer x.y.z")
    assert (status, body["code"]) == (401, "invalid_token")


async def test_another_service_verifies_by_the_published_jwks(forge: Forging) -> None:
    """PyJWT's own client, as the readme tells another service to use it."""
    client = jwt.PyJWKClient(f"{forge.node.url}/.well-known/jwks.json")
    key = await asyncio.to_thread(client.get_signing_key_from_jwt, forge.genuine.token)
    expected = {"algorithms": ["EdDSA"], "audience": "vigil", "issuer": forge.genuine.claims["iss"]}
    claims = jwt.decode(forge.genuine.token, key.key, **expected)
    assert claims == forge.genuine.claims
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(forge.genuine.with_parts(signature="A" * 86), key.key, **expected)
    published = await asyncio.to_thread(client.fetch_data)
    assert isinstance(published, dict)
    assert len(published["keys"]) == 2
    assert all(set(each) == {"kty", "crv", "use", "alg", "kid", "x"} for each in published["keys"])
