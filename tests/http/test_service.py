"""What machines and browsers get besides the API: health, metrics, keys, documents, pages, files, headers."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.clients import Api
from support.nodes import Node

DATA = Path(__file__).parent.parent / "data"


async def test_live(send: Any) -> None:
    answer = await send("GET", "/health/live")
    assert answer.data == {"status": "alive"}


async def test_ready_names_its_checks(send: Any) -> None:
    answer = await send("GET", "/health/ready")
    assert answer.status == 200
    assert answer.data["checks"]
    assert all(answer.data["checks"].values())


async def test_the_key_set_may_be_cached_for_a_short_while(api: Api, send: Any) -> None:
    answer = await send("GET", "/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert len(answer.body["keys"]) >= 2
    assert all(set(key) == {"kty", "crv", "use", "alg", "kid", "x"} for key in answer.body["keys"])


async def test_metrics_count_answers_by_route(send: Any, email: str) -> None:
    await send("GET", "/api/auth/nothing-of-the-kind")
    await send("PROPFIND", "/api/auth/me")
    answer = await send("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert re.search(
        r'vigil_http_requests_total\{method="POST",route="/api/auth/register",status="202"\} [1-9]', answer.body
    )
    assert 'route="none",status="404"' in answer.body
    assert 'method="other"' in answer.body
    assert "nothing-of-the-kind" not in answer.body
    assert "PROPFIND" not in answer.body
    assert email not in answer.body


async def test_the_documents_are_served_and_valid(send: Any) -> None:
    openapi = await send("GET", "/openapi.json")
    OpenAPIV31SpecValidator(openapi.body).validate()
    asyncapi = await send("GET", "/asyncapi.json")
    schema = json.loads((DATA / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(asyncapi.body)
    assert "max-age=60" in openapi.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/docs/api", ["/api/auth/sessions/{sessionId}", "accessTokenExpiresAt", "refresh_reused", "deviceName"]),
        ("/docs/events", ["session-revoked", "sessions-revoke-others", "lastEventId", "retryAfterMs"]),
    ],
)
async def test_the_documents_can_be_read(send: Any, path: str, said: list[str]) -> None:
    page = await send("GET", path)
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert all(word in page.body for word in said)
    assert "<script" not in page.body
    assert "http://" not in re.sub(r"http://127\.0\.0\.1:\d+", "", page.body)
    style = re.search(r'href="(/docs/assets/[^"]+)"', page.body)
    assert style is not None
    assert (await send("GET", style[1])).headers["Content-Type"] == "text/css; charset=utf-8"


PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://127.0.0.1:8000; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/", PAGE_POLICY),
        ("/docs/api", PAGE_POLICY),
        ("/api/auth/me", "default-src 'none'; frame-ancestors 'none'"),
        ("/nothing", "default-src 'none'; frame-ancestors 'none'"),
        ("/openapi.json", "default-src 'none'; frame-ancestors 'none'"),
    ],
)
async def test_security_headers_are_on_every_answer(send: Any, path: str, policy: str) -> None:
    headers = (await send("GET", path)).headers
    assert headers["Content-Security-Policy"] == policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers
    assert "aiohttp" not in headers["Server"]


async def test_behind_https_browsers_are_told_to_stay_there(start_node: Any, send: Any) -> None:
    node = start_node(VIGIL_PUBLIC_URL="https://auth.example.org")
    headers = (await send("GET", "/", url=node.url)).headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "connect-src 'self' wss://auth.example.org;" in headers["Content-Security-Policy"]


async def test_the_demo_page_and_its_modules_are_served(send: Any) -> None:
    page = await send("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Sec-CH-UA-Model" in page.headers["Accept-CH"]
    module = await send("GET", "/demo/vigil-client.js")
    assert module.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert module.headers["Cache-Control"] == "no-cache"
    again = await send("GET", "/demo/vigil-client.js", None, {"If-None-Match": module.headers["ETag"]})
    assert (again.status, again.body) == (304, "")
    since = {"If-Modified-Since": module.headers["Last-Modified"]}
    assert (await send("GET", "/demo/vigil-client.js", None, since)).status == 304


@pytest.mark.parametrize(
    "path",
    [
        "/demo/chat.py",
        "/demo/",
        "/demo/nothing.js",
        "/demo/../server.py",
        "/demo/%2e%2e/server.py",
        "/demo/..%2fserver.py",
        "/demo/..%5cserver.py",
        "/demo//etc/passwd",
        "/demo/%00.js",
        "/demo/ui",
        "/demo/ui/../chat.py",
        "/docs/assets/../app.py",
        "/docs/assets/..%2f..%2fapp.py",
        "/docs/assets/",
        "/.git/config",
        "/server.py",
    ],
)
async def test_nothing_else_is_served(node: Node, path: str) -> None:
    """Sent as written: a client library would tidy the path up."""
    where = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"import" not in answer


async def test_a_request_is_one_log_line_with_its_id_and_without_its_query(node: Node, send: Any) -> None:
    await send("GET", "/api/auth/verify-email?token=hush-hush", None, {"X-Request-Id": "find-this-one"})
    lines = await logged(node, "find-this-one")
    (line,) = [json.loads(line) for line in lines]
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/auth/verify-email", 303)
    assert line["ip"] == "127.0.0.1"
    assert "hush" not in node.text()


async def test_the_log_says_who_asked_once_that_is_known(node: Node, api: Api, email: str, send: Any) -> None:
    login = await api.login(email)
    headers = {"Authorization": f"Bearer {login.access_token}", "X-Request-Id": "whose-line"}
    await send("GET", "/api/auth/me", None, headers)
    (line,) = [json.loads(line) for line in await logged(node, "whose-line")]
    assert line["session_id"] == login.session_id
    assert line["user_id"] == login.data["user"]["userId"]
    await send("GET", "/api/auth/me", None, {"X-Request-Id": "nobodys-line"})
    (line,) = [json.loads(line) for line in await logged(node, "nobodys-line")]
    assert "user_id" not in line


async def test_forwarded_addresses_are_believed_only_from_trusted_proxies(start_node: Any, http: Any) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}
    for trusted, expected in (("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")):
        node = start_node(VIGIL_TRUSTED_PROXIES=trusted)
        api = Api(node.url, http)
        email = await api.register()
        body = {"email": email, "password": "a quiet harbour at dusk"}
        login = await api.call("POST", "/login", body, headers=forwarded)
        assert login.data["session"]["ip"] == expected


async def logged(node: Node, text: str) -> list[str]:
    for _ in range(50):
        found = [line for line in node.log if text in line]
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{text} is not in the log")
