"""Whatever is sent, the answer is a refusal of the contract: never a 500, never a word about our insides."""

import asyncio
import json
import secrets
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.clients import ORIGIN, Answer, Api
from support.nodes import Node

LOGIN = "/api/auth/login"
JSON = {"Content-Type": "application/json"}


def assert_refusal(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.body["code"]) == (status, code), answer.body
    assert set(answer.body) <= {"success", "code", "message", "requestId", "errors"}
    assert answer.body["success"] is False
    assert answer.body["requestId"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"
    assert "Traceback" not in json.dumps(answer.body)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"",
        b"   ",
        b"{'a': 1}",
        b'{"email": NaN}',
        b'{"email": Infinity}',
        b'{"email": 1e9999}',
        b'{"email": "\\ud800"}',
        b'{"email": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"email": "a",}',
        b'{"email": "a"} trailing',
        b'{"email": "\x00"}',
        b"[" * 60_000,
    ],
)
async def test_malformed_json(send: Any, data: bytes) -> None:
    assert_refusal(await send("POST", LOGIN, data, JSON), 400, "invalid_json")


@pytest.mark.parametrize("data", [b"[" * 30_000 + b"]" * 30_000, b'{"email":' * 5000 + b"1" + b"}" * 5000])
async def test_deep_nesting(send: Any, data: bytes) -> None:
    answer = await send("POST", LOGIN, data, JSON)
    assert answer.status == 400
    assert answer.body["code"] in {"invalid_json", "invalid_request"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email", "password"}),
        ([], {""}),
        ("text", {""}),
        (None, {""}),
        (5, {""}),
        (True, {""}),
        ({"email": 5, "password": "x"}, {"email"}),
        ({"email": None, "password": "x"}, {"email"}),
        ({"email": ["a@b.c"], "password": "x"}, {"email"}),
        ({"email": {"$gt": ""}, "password": {"$gt": ""}}, {"email", "password"}),
        ({"email": "a@b.c", "password": "x", "admin": True}, {"admin"}),
        ({"email": "a@b.c", "password": "x", "device_name": "x"}, {"device_name"}),
        ({"email": "a@b.c", "password": "x", "delivery": "pigeon"}, {"delivery"}),
        ({"email": "a@b.c", "password": "x", "delivery": None}, {"delivery"}),
        ({"email": "a@b.c", "password": "x\0"}, {"password"}),
        ({"email": "a@b.c\0", "password": "x"}, {"email"}),
        ({"email": "a@b.c", "password": ""}, {"password"}),
        ({"email": "a@b.c", "password": "x" * 1025}, {"password"}),
        ({"email": "a@b.c", "password": "x", "deviceName": "x" * 101}, {"deviceName"}),
    ],
)
async def test_wrong_fields_are_named(send: Any, body: Any, fields: set[str]) -> None:
    answer = await send("POST", LOGIN, json.dumps(body).encode(), JSON)
    assert_refusal(answer, 400, "invalid_request")
    assert {error["field"] for error in answer.body["errors"]} == fields
    assert all(error["message"] for error in answer.body["errors"])


async def test_a_refusal_repeats_nothing_of_what_was_sent(send: Any) -> None:
    body = {"email": {"a": "hunter2"}, "password": ["hunter2"], "k" * 3000: "hunter2"}
    answer = await send("POST", LOGIN, json.dumps(body).encode(), JSON)
    assert_refusal(answer, 400, "invalid_request")
    assert "hunter2" not in json.dumps(answer.body)
    assert all(len(error["field"]) <= 100 for error in answer.body["errors"])


async def test_of_a_repeated_key_the_last_counts(send: Any) -> None:
    data = b'{"email": 5, "email": "a@example.org", "password": "x"}'
    assert_refusal(await send("POST", LOGIN, data, JSON), 401, "invalid_credentials")


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/json; charset=utf-16", "application/jsonp", "text/json", ";",
    ],
)  # fmt: skip
async def test_what_does_not_say_that_it_is_json(send: Any, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    data = b'{"email": "a@b.c", "password": "x"}'
    assert_refusal(await send("POST", LOGIN, data, headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", "application/json;"]
)
async def test_json_by_any_spelling(send: Any, content_type: str) -> None:
    data = b'{"email": "nobody@example.org", "password": "x"}'
    answer = await send("POST", LOGIN, data, {"Content-Type": content_type})
    assert_refusal(answer, 401, "invalid_credentials")


def padded(size: int) -> bytes:
    body = b'{"email": "nobody@example.org", "password": "x"}'
    return body + b" " * (size - len(body))


async def test_a_body_of_64_kib_is_read(send: Any) -> None:
    assert_refusal(await send("POST", LOGIN, padded(65_536), JSON), 401, "invalid_credentials")


async def test_a_larger_body_is_refused(send: Any) -> None:
    assert_refusal(await send("POST", LOGIN, padded(65_537), JSON), 413, "payload_too_large")


async def test_a_larger_body_of_unknown_length_is_refused(send: Any) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 8192

    assert_refusal(await send("POST", LOGIN, chunks(), JSON), 413, "payload_too_large")


@pytest.mark.parametrize("path", ["/api/auth/nothing", "/api/auth", "/api/auth/", "/nothing", "/api/auth/login/"])
async def test_an_unknown_path(send: Any, path: str) -> None:
    assert_refusal(await send("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/auth/login", "POST"),
        ("PUT", "/api/auth/me", "DELETE, GET, PATCH"),
        ("HEAD", "/api/auth/verify-email", "GET, POST"),
        ("OPTIONS", "/api/auth/login", "POST"),
        ("POST", "/health/live", "GET, HEAD"),
        ("PROPFIND", "/api/auth/me", "DELETE, GET, PATCH"),
    ],
)
async def test_a_wrong_method_names_the_right_ones(send: Any, method: str, path: str, allow: str) -> None:
    answer = await send(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == allow
    if method != "HEAD":
        assert_refusal(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("given", ["abc", "req-1.2_3", "A" * 64])
async def test_a_harmless_request_id_is_kept(send: Any, given: str) -> None:
    answer = await send("GET", "/api/auth/me", None, {"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == answer.body["requestId"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "ä", "-x", '"', "a;b", "a/b"])
async def test_any_other_request_id_is_replaced(send: Any, given: str) -> None:
    answer = await send("GET", "/api/auth/me", None, {"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert answer.headers["X-Request-Id"] == answer.body["requestId"]


async def test_every_answer_has_a_request_id_of_its_own(send: Any) -> None:
    answers = [await send("GET", path) for path in ("/health/live", "/api/auth/me", "/", "/nothing", "/metrics")]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


@pytest.mark.parametrize(
    "session_id", ["x", "0" * 32, "%00", "%FF", "%ED%A0%80", "..%2Fme", "a" * 2000, "%7B%22%24gt%22%3A%22%22%7D"]
)
async def test_a_session_id_that_is_none(api: Api, email: str, send: Any, session_id: str) -> None:
    login = await api.login(email)
    headers = {"Authorization": f"Bearer {login.access_token}"}
    answer = await send("DELETE", f"/api/auth/sessions/{session_id}", None, headers)
    assert_refusal(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/logout-all", {"x": 1}),
        ("/sessions/revoke-others", {"x": 1}),
        ("/logout", {"x": 1}),
        ("/refresh", {"x": 1}),
    ],
)
async def test_where_no_field_is_known_none_is_taken(api: Api, email: str, path: str, body: Any) -> None:
    login = await api.login(email)
    answer = await login.call("POST", path, body)
    assert_refusal(answer, 400, "invalid_request")


@pytest.mark.parametrize("path", ["/logout-all", "/sessions/revoke-others"])
@pytest.mark.parametrize("body", [None, {}])
async def test_where_no_field_is_known_the_body_may_be_left_out(
    api: Api, email: str, path: str, body: Any
) -> None:
    login = await api.login(email)
    assert (await login.call("POST", path, body)).status == 200


# Below the application: bytes that are not HTTP, or more of it than we take.


async def raw(node: Node, sent: bytes, *, until: bytes | None = None) -> bytes:
    """What is answered to bytes: all of it, or as far as `until`."""
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(30):
            return await (reader.read() if until is None else reader.readuntil(until))
    finally:
        writer.close()


SECRET = "rt1.secretsecretsecretsecret"


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nbad header " + SECRET.encode() + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_in_the_same_form(node: Node, sent: bytes) -> None:
    answer = await raw(node, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    refusal = json.loads(body)
    assert refusal["code"] == "invalid_request"
    assert f"x-request-id: {refusal['requestId']}" in head.decode().lower()
    assert b"secret" not in answer
    assert b"aiohttp" not in answer


def with_headers(*lines: str, start: str = "GET /health/live HTTP/1.1", end: str = "\r\n\r\n") -> bytes:
    return "\r\n".join([start, "Host: a", *lines]).encode() + end.encode()


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SOCKET = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"


@pytest.mark.parametrize("size", [8_191, 16_384, 32_000])
async def test_headers_of_32_kib_pass(node: Node, size: int) -> None:
    """A browser that has many cookies for a domain sends them all."""
    one = f"Cookie: a={'x' * size}"
    many = [f"X-Field-{n}: {'x' * (size // 20 - 20)}" for n in range(20)]
    for lines in ([one], many):
        answer = await raw(node, with_headers("Connection: close", *lines))
        assert answer.startswith(b"HTTP/1.1 200 "), answer
    answer = await raw(node, with_headers(*UPGRADE, one, start=SOCKET), until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer


@pytest.mark.parametrize(
    "sent",
    [
        with_headers(f"Cookie: a={SECRET}{'x' * 32_768}"),
        with_headers(*(f"X-Field-{n}: {SECRET}{'x' * 1_700}" for n in range(20))),
        with_headers(*UPGRADE, f"Cookie: a={SECRET}{'x' * 32_768}", start=SOCKET),
        with_headers(*UPGRADE, *(f"X-Field-{n}: {SECRET}{'x' * 1_700}" for n in range(20)), start=SOCKET),
        with_headers(*(f"X-Field-{n}: {SECRET}" for n in range(200))),
        # Without an end, and behind a request that is answered.
        with_headers(*(f"X-Field-{n}: {SECRET}{'x' * 1_700}" for n in range(55)), end=""),
        with_headers() + with_headers(*(f"X-Field-{n}: {SECRET}{'x' * 1_700}" for n in range(20))),
    ],
)
async def test_more_is_refused_with_words(node: Node, sent: bytes) -> None:
    answer = await raw(node, sent)
    # aiohttp answers what is not HTTP as of HTTP/1.0.
    head, _, body = answer[answer.index(b"HTTP/1.0 431 ") :].partition(b"\r\n\r\n")
    refusal = json.loads(body)
    assert (refusal["code"], refusal["success"]) == ("headers_too_large", False)
    assert "32 KiB" in refusal["message"]
    assert f"x-request-id: {refusal['requestId']}" in head.decode().lower()
    assert SECRET.encode() not in answer


def with_address(size: int, *lines: str, path: str = "/health/live?") -> bytes:
    return with_headers(*lines, start=f"GET {path + SECRET:x<{size}} HTTP/1.1")


async def test_an_address_of_24_kib_passes(node: Node) -> None:
    answer = await raw(node, with_address(24 * 1024, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.parametrize(
    "sent",
    [
        with_address(24 * 1024 + 1),
        # More than is parsed.
        with_address(60_000),
        with_address(30_000, *UPGRADE, path=SOCKET.split()[1]),
        with_headers() + with_address(30_000),
    ],
)
async def test_a_longer_address_is_refused_with_words(node: Node, sent: bytes) -> None:
    answer = await raw(node, sent)
    head, _, body = answer[answer.index(b"HTTP/1.0 414 ") :].partition(b"\r\n\r\n")
    refusal = json.loads(body)
    assert (refusal["code"], refusal["success"]) == ("uri_too_long", False)
    assert "24 KiB" in refusal["message"]
    assert f"x-request-id: {refusal['requestId']}" in head.decode().lower()
    assert SECRET.encode() not in answer


@pytest.mark.parametrize("piece", [1_460, 16_384, 1 << 20])
@pytest.mark.parametrize("size", [30_000, 65_536, 1 << 20])
@pytest.mark.parametrize("kind", [b"414 ", b"431 ", b"400 "])
async def test_a_refusal_reaches_a_peer_that_sends_everything_before_it_reads(
    node: Node, size: int, piece: int, kind: bytes
) -> None:
    """A reset in answer to what is sent after the refusal would discard it at the peer, or fail its sending."""
    sent = {
        b"414 ": with_address(size),
        b"431 ": with_headers(*(f"X-Field-{n}: {'x' * 1_700}" for n in range(max(20, size // 1_700)))),
        b"400 ": with_headers("bad header", f"X-Field: {'x' * size}"),
    }[kind]
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(30):
            for start in range(0, len(sent), piece):
                writer.write(sent[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.0 " + kind), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["success"] is False


async def send_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def test_a_peer_that_keeps_sending_after_its_refusal_is_cut_off(node: Node) -> None:
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"x" * 100_000)
    async with asyncio.timeout(30):
        assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
        with pytest.raises(ConnectionError):
            await send_on(writer)
    writer.close()


def what_pages_may_read(answer: bytes) -> dict[str, str]:
    """The headers of CORS in the last answer of several."""
    head = answer[answer.rindex(b"HTTP/1.") :].partition(b"\r\n\r\n")[0].decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    return {name: value for name, value in fields.items() if name.startswith("Access-Control") or name == "Vary"}


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (431, lambda origin: with_headers(f"Cookie: a={'x' * 40_000}", origin)),
        (431, lambda origin: with_headers(*(f"X-Field-{n}: {'x' * 1_700}" for n in range(20)), origin)),
        (414, lambda origin: with_address(40_000, origin)),
        (414, lambda origin: with_headers() + with_address(30_000, origin)),
    ],
)
async def test_a_page_of_an_allowed_origin_may_read_these_refusals_as_any_answer(
    node: Node, status: int, sent: Any
) -> None:
    usual = what_pages_may_read(await raw(node, with_headers("Connection: close", f"Origin: {ORIGIN}")))
    assert usual["Access-Control-Allow-Origin"] == ORIGIN
    answer = await raw(node, sent(f"Origin: {ORIGIN}"))
    assert f" {status} ".encode() in answer[answer.rindex(b"HTTP/1.") :]
    assert what_pages_may_read(answer) == usual
    for origin in ("Origin: https://evil.example", "X-Origin: none"):
        assert what_pages_may_read(await raw(node, sent(origin))) == {"Vary": "Origin"}


@pytest.mark.parametrize(
    "sent", [with_headers(f"Origin: {ORIGIN}", "bad header"), with_address(60_000, f"Origin: {ORIGIN}")]
)
async def test_whose_page_asks_is_not_guessed_from_what_could_not_be_parsed(node: Node, sent: bytes) -> None:
    assert what_pages_may_read(await raw(node, sent)) == {"Vary": "Origin"}


async def test_a_broken_chunked_body_is_refused(node: Node) -> None:
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answer = await raw(node, head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzzz\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Traceback" not in answer


async def test_an_expectation_that_is_unknown_is_refused_in_the_same_form(send: Any) -> None:
    answer = await send("GET", "/health/live", None, {"Expect": "a secret", "Origin": ORIGIN})
    assert (answer.status, answer.code) == (417, "expectation_failed")
    assert answer.body["requestId"] == answer.headers["X-Request-Id"]
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "secret" not in answer.body["message"]


@pytest.mark.parametrize(("size", "code"), [(5, "invalid_json"), (1 << 20, "payload_too_large")])
async def test_a_body_that_cannot_be_decoded_is_refused_and_is_no_error_in_the_log(
    node: Node, size: int, code: str
) -> None:
    """The smaller body is read before it is refused; the larger one arrives after its refusal."""
    before = len(node.log)
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    encoded = ("Content-Type: application/json", "Content-Encoding: gzip", f"Content-Length: {size}")
    writer.write(with_headers(*encoded, start="POST /api/auth/login HTTP/1.1"))
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b'"}') if size > 5 else b""
        writer.write(b"x" * size)
        answer += await reader.read()
    writer.close()
    refusal = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert refusal["code"] == code
    await node.logged(refusal["requestId"], after=before)
    assert [line for line in node.log[before:] if '"level":"error"' in line] == []


async def test_bytes_that_are_not_http_are_no_error_in_the_log_and_leave_no_secret_there(node: Node) -> None:
    marker = f"rt1.{secrets.token_hex(20)}"
    before = len(node.log)
    await raw(
        node, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: " + marker.encode() + b"x" * 40_000 + b"\r\n\r\n"
    )
    # Those of earlier tests can come late.
    lines = await node.logged("not_http", after=before)
    assert {json.loads(line)["level"] for line in lines} == {"info"}
    assert marker not in node.text()
