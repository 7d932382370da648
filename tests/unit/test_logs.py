"""Logs are one line each, carry the request id, and hold no secret however it got there."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from auth.platform import logs

JWT = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
REFRESH = "rt1.AAECAwQFBgcICQoLDA0ODwAAAAEQERITFBUWFxgZGhscHR4f"
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, structured = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET_LOGGERS}
    captured = io.StringIO()
    yield captured
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(**structured)


@pytest.fixture
def lines(stream: io.StringIO) -> Any:
    logs.configure(level="debug", style="json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line(lines: Any) -> None:
    structlog.get_logger("test").info("request", status=200)
    (line,) = lines()
    assert line["event"] == "request"
    assert line["status"] == 200
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


def test_the_request_id_is_on_every_line_in_its_context(lines: Any) -> None:
    with logs.log_context(request_id="abc"):
        structlog.get_logger("test").info("ours")
        logging.getLogger("library").warning("theirs")
    logs.extend_log_context(user_id="nobody")
    structlog.get_logger("test").info("outside")
    assert [line.get("request_id") for line in lines()] == ["abc", "abc", None]
    assert not any("user_id" in line for line in lines())


def test_what_is_learnt_on_the_way_is_on_the_lines_after_it(lines: Any) -> None:
    with logs.log_context(request_id="abc"):
        structlog.get_logger("test").info("before")
        logs.extend_log_context(user_id="ada")
        structlog.get_logger("test").info("after")
        with logs.log_context(request_id="def"):
            structlog.get_logger("test").info("another")
    assert [(line["request_id"], line.get("user_id")) for line in lines()] == [
        ("abc", None),
        ("abc", "ada"),
        ("def", None),
    ]


def test_a_traceback_stays_on_the_line_of_its_event(lines: Any) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("test").exception("request_failed")
    (line,) = lines()
    assert "ValueError: broken" in line["exception"]


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "fields",
    [
        {"token": JWT},
        {"access_token": JWT},
        {"refreshToken": REFRESH},
        {"password": PASSWORD},
        {"newPassword": PASSWORD},
        {"headers": {"Authorization": f"Bearer {JWT}", "Cookie": f"a={REFRESH}"}},
        {"nested": {"deep": [{"password": PASSWORD}]}},
        {"body": f'{{"password": "{PASSWORD}", "email": "a@b.c"}}'},
        {"body": f"password={PASSWORD}&x=1"},
        {"line": f"Authorization: Bearer {JWT}"},
        {"line": f"Cookie: __Host-vigil_refresh={REFRESH}"},
        {"raw": f"Set-Cookie: a={PASSWORD}".encode()},
        {"url": f"redis://user:{PASSWORD}@host:6379/0"},
        {"link": f"https://a.example/verify-email?token={PASSWORD}"},
        {"anything": REFRESH},
        {JWT: "as a key"},
    ],
)
def test_no_secret_is_written(stream: io.StringIO, style: Any, fields: dict[str, Any]) -> None:
    logs.configure(level="debug", style=style, stream=stream)
    structlog.get_logger("test").info("event", details=fields)
    structlog.get_logger("test").info("event", **{str(name): value for name, value in fields.items()})
    logging.getLogger("library").error("it said %s", fields)
    written = stream.getvalue()
    assert written.count("\n") == 3
    for secret in (JWT, JWT.split(".")[1], REFRESH, PASSWORD):
        assert secret not in written


@pytest.mark.parametrize(
    "reason",
    [
        *(f"ID token: {why}" for why in (
            "iat", "exp", "nbf", "kid", "iss", "aud", "azp", "nonce", "at_hash", "sub", "algorithm", "signature",
            "not a JWS", "critical header", "which key", "weak key", "too long",
        )),
        "token: no access token", "token: status 400, invalid_client", "token: no JSON object",
        "secret: missing", "client_secret: too short", "cookie: status 403, no JSON", "Cookie: not ours",
        "authorization: denied", "wrong token: it's over", "no token",
    ],
)  # fmt: skip
def test_a_reason_in_words_is_left_alone(lines: Any, reason: str) -> None:
    structlog.get_logger("test").warning("provider_failed", reason=reason)
    logging.getLogger("library").warning("refused, %s", reason)
    ours, theirs = lines()
    assert ours["reason"] == reason
    assert theirs["event"] == f"refused, {reason}"


SECRET_VALUES = (
    JWT,
    REFRESH,
    "kJ8sLq2nXw0RtY5u",
    "0123456789abcdef",
    "NB2W45DFOIZA",
    "p4ss",
    "a" * 25,
    "dGVzdA==",
)


@pytest.mark.parametrize("value", SECRET_VALUES)
@pytest.mark.parametrize(
    "text",
    [
        "token: {}", "ID token: {}", "mfaToken: '{}'", "client_secret: {}", "Cookie: theme=dark; a={}",
        "cookie: {}", "authorization: {}", "Authorization: Negotiate {}", "token={}", '{{"secret": "{}"}}',
    ],
)  # fmt: skip
def test_what_a_machine_made_is_masked_behind_the_same_names(text: str, value: str) -> None:
    assert value not in logs.masked(text.format(value))


@pytest.mark.parametrize("text", ["password: letmein", "passwd: letmein", "token=letmein", '"cookie": "letmein"'])
def test_a_word_is_masked_where_people_or_programs_put_secrets(text: str) -> None:
    assert "letmein" not in logs.masked(text)


@pytest.mark.parametrize("name", ["mfa", "reset", "email", "notme", "code", "state"])
def test_the_secrets_of_our_own_links_are_masked(name: str) -> None:
    for before in ("/?", "/#", "/?linked=0&"):
        assert PASSWORD not in logs.masked(f"https://a.example{before}{name}={PASSWORD}{PASSWORD}")
    assert logs.masked(f"/?{name}=conflict") == f"/?{name}=conflict"


def test_no_pattern_of_a_secret_is_passed_over_in_haste() -> None:
    """A text without any sign of a secret is not searched: so each pattern's own text must show one."""
    for secret in (
        REFRESH, JWT, "$argon2id$v=19$m=65536", "Bearer abcdef123", "BASIC abcdef123", "Authorization: x1",
        "set-cookie=a", "X-CSRF-Token: a", "PassWord=x", "passwd: x", "secret=x", "token=x", "a://user:word@host",
        *(f"?{name}={PASSWORD}{PASSWORD}" for name in ("mfa", "reset", "email", "notme", "code", "state")),
    ):  # fmt: skip
        assert logs.masked(f"before {secret} after") != f"before {secret} after"


def test_a_secret_in_an_exception_is_not_written(lines: Any, stream: io.StringIO) -> None:
    try:
        raise ValueError(f"cannot parse {JWT} and password={PASSWORD}")
    except ValueError:
        structlog.get_logger("test").exception("failed", exc_value=ValueError(REFRESH))
        logging.getLogger("library").exception("failed")
    assert len(lines()) == 2
    assert not any(secret in stream.getvalue() for secret in (JWT, PASSWORD, REFRESH))


def test_plain_words_are_left_alone(lines: Any) -> None:
    structlog.get_logger("test").info("login", outcome="invalid_token", session_id="a1b2", email="ada@example.org")
    (line,) = lines()
    assert (line["outcome"], line["session_id"], line["email"]) == ("invalid_token", "a1b2", "ada@example.org")


def test_values_that_json_cannot_hold_do_not_stop_a_line(lines: Any) -> None:
    structlog.get_logger("test").info("odd", text="half \udc80", number=2**80, thing=object(), raw=b"\xff")
    (line,) = lines()
    assert line["event"] == "odd"


@pytest.mark.parametrize("name", ["socketio.server", "engineio.server", "pymongo.command"])
def test_libraries_that_log_packets_and_commands_are_quiet(lines: Any, name: str) -> None:
    logging.getLogger(name).info("a packet")
    assert lines() == []
