"""What machines and browsers get besides the API: health, metrics, keys, documents, pages, files, headers."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families
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


async def test_the_public_configuration_needs_no_login_and_may_be_cached(send: Any) -> None:
    answer = await send("GET", "/api/auth/config")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.data == {
        "password": {"minLength": 8, "maxLength": 128},
        "maxLengths": {"email": 254, "name": 100, "deviceName": 64},
        "codes": {"totpDigits": 6, "smsDigits": 6, "recoveryCodes": 10},
        "tries": {"secondFactor": 5, "smsCode": 5},
        "lifetimes": {
            "verificationLinkMs": 86_400_000,
            "passwordResetLinkMs": 900_000,
            "emailChangeLinkMs": 3_600_000,
            "secondFactorMs": 300_000,
            "smsCodeMs": 300_000,
            "stepUpMs": 600_000,
            "accountDeletionMs": 1_209_600_000,
        },
        "loginMethods": {"phone": True, "providers": []},
    }


async def test_metrics_count_answers_by_route(send: Any, email: str) -> None:
    await send("GET", "/api/auth/nothing-of-the-kind")
    await send("PROPFIND", "/api/auth/me")
    await send("POST", "/api/auth/register", b"{}", {"Content-Type": "application/json"})
    answer = await send("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert re.search(
        r'vigil_http_requests_total\{method="POST",route="/api/auth/register",status="400"\} [1-9]', answer.body
    )
    assert 'route="none",status="404"' in answer.body
    assert 'method="other"' in answer.body
    assert "nothing-of-the-kind" not in answer.body
    assert "PROPFIND" not in answer.body
    assert email not in answer.body


# What can go wrong, and a first value for the rate of what goes well.
FROM_THE_FIRST_SCRAPE = {
    "vigil_jobs": [("send_mail", "sent"), ("send_mail", "failed"), ("notice", "failed"), ("audit", "failed")],
    "vigil_logins": [("success",), ("mfa_required",), ("invalid_credentials",), ("unavailable",)],
    "vigil_refreshes": [("rotated",), ("replayed",), ("concurrent",), ("refresh_reused",), ("unavailable",)],
    "vigil_risks": [("new_device",), ("impossible_travel",), ("refresh_elsewhere",)],
    "vigil_approvals": [("asked",), ("approved",), ("denied",)],
    "vigil_approval_pushes": [("acknowledged",), ("unacknowledged",)],
    "vigil_rate_limited": [("login",), ("sms_total",), ("connections",)],
    "vigil_handshakes": [("ok",), ("mfa_required",), ("internal_error",), ("token_expired",)],
}


async def test_a_node_shows_what_it_has_not_counted_yet_from_its_first_scrape(
    start_node: Callable[..., Node], http: aiohttp.ClientSession
) -> None:
    fresh = await asyncio.to_thread(start_node)
    async with http.get(f"{fresh.url}/metrics") as answer:
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    for name, expected in FROM_THE_FIRST_SCRAPE.items():
        samples = [sample for sample in families[name].samples if sample.name == f"{name}_total"]
        assert {sample.value for sample in samples} == {0}
        assert {tuple(sample.labels.values()) for sample in samples} >= set(cast("Any", expected)), name


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


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/socket.io/?EIO=4&transport=polling", {}, 200),
        ("/socket.io/?EIO=4&transport=polling&sid=none", {}, 400),
        ("/socket.io/?EIO=4&transport=websocket", {"Connection": "Upgrade", "Upgrade": "websocket"}, 400),
        ("/health/live", {"Expect": "more"}, 417),
    ],
)
async def test_no_answer_says_which_server_it_is_in_which_version(
    send: Any, path: str, sent: dict[str, str], status: int
) -> None:
    answer = await send("GET", path, None, sent)
    assert (answer.status, answer.headers["Server"]) == (status, "vigil")


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
        "/demo/bundle",
        "/demo/bundle/",
        "/demo/bundle/nothing.js",
        "/demo/bundle/index.html",
        "/demo/bundle/manifest.json",
        "/demo/bundle/br/index.html",
        "/demo/bundle/br%2findex.html",
        "/demo/bundle/../chat.py",
        "/demo/bundle/..%2fchat.py",
        "/demo/bundle/..%2fapp.js",
        "/demo//bundle/index.html",
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
    lines = await node.logged("find-this-one")
    (line,) = [json.loads(line) for line in lines]
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/auth/verify-email", 303)
    assert line["ip"] == "127.0.0.1"
    assert "hush" not in node.text()


async def test_the_log_says_who_asked_once_that_is_known(node: Node, api: Api, email: str, send: Any) -> None:
    login = await api.login(email)
    headers = {"Authorization": f"Bearer {login.access_token}", "X-Request-Id": "whose-line"}
    await send("GET", "/api/auth/me", None, headers)
    (line,) = [json.loads(line) for line in await node.logged("whose-line")]
    assert line["session_id"] == login.session_id
    assert line["user_id"] == login.data["user"]["userId"]
    await send("GET", "/api/auth/me", None, {"X-Request-Id": "nobodys-line"})
    (line,) = [json.loads(line) for line in await node.logged("nobodys-line")]
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
