"""Structured logs: one line per event on stderr, as JSON or human-readable text.

No secret may be passed to a logger. As a second line of defence, every value, including tracebacks and other
libraries' messages, is searched for patterns of secrets, which are masked. The request id is kept in a context
variable, so that all lines of a request carry it.
"""

import functools
import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "[redacted]"
MAX_VALUE_LENGTH = 16_384
MAX_DEPTH = 6

BAD_HTTP_MODULES = frozenset({"aiohttp.http_exceptions", "auth.core.errors"})
# aiohttp's exception for a body that cannot be decoded, in a module of its own bugs.
BAD_BODY = "RequestPayloadError"

# Values of fields with these names are masked entirely (compared in lower case, without `_` and `-`).
SECRET_NAMES = re.compile(
    r"(?:password|passwd|secret|secretkey|token|authorization|cookie|setcookie|nonce|csrf|csrfkey|signingkey)$"
)

# The value after a name: a quoted string, or everything up to a delimiter.
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&}\]]+)"

# A word, an acronym or a status code. Generated secrets never consist of these alone, while messages such as
# `ID token: nonce` or `cookie: status 403` do.
_WORD = re.compile(r"[A-Za-z]?[a-z'_-]{0,23}|[A-Z]{1,8}|\d{1,3}", re.ASCII)


def _unless_prose(found: re.Match[str]) -> str:
    """Mask the value after a name and a colon, unless it consists of words only."""
    name, value = found.groups()
    prose = all(_WORD.fullmatch(word.strip(".,;:!?()\"'")) for word in value.split())
    return found[0] if prose else f"{name}{MASK}"


# Patterns of secrets inside longer text. Passwords and values after `=` are always masked: users choose words as
# passwords, and a value after `=` is not prose.
SECRET_TEXTS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"rt1\.[A-Za-z0-9_-]{6,}"), f"rt1.{MASK}"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)+"), MASK),
    (re.compile(r"\$argon2[a-z]*\$[^\s\"']+"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)((?:set-cookie|x-csrf-token)[\"']?\s*[:=]\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)((?:authorization|cookie)(?:[\"']\s*[:=]|\s*=)\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)((?:authorization|cookie)\s*:[ \t]*)([^\r\n]+)"), _unless_prose),
    (re.compile(rf"(?i)((?:password|passwd)[\"']?\s*[:=]\s*){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)((?:secret|token)(?:[\"']\s*[:=]|\s*=)\s*){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)((?:secret|token)\s*:\s*)({_VALUE})"), _unless_prose),
    (re.compile(r"(?i)([?#&](?:mfa|reset|email|notme|code|state)=)[A-Za-z0-9._~%+/=-]{16,}"), rf"\1{MASK}"),
    (re.compile(r"(://[^\s:/@]*:)[^\s@/]+@"), rf"\1{MASK}@"),
)

# Every pattern above contains one of these: text with none of them, the usual case, takes 1 µs instead of 8.
SECRET_SIGNS = (
    "rt1.", "eyj", "$argon2", "bearer", "basic", "authorization", "cookie", "csrf", "passw", "secret",
    "token", "://", "mfa=", "reset=", "email=", "notme=", "code=", "state=",
)  # fmt: skip

# Loggers that are too verbose, or whose lines contain packets and commands with secrets.
QUIET_LOGGERS = {
    "socketio": logging.WARNING,
    "socketio.server": logging.WARNING,
    "engineio": logging.WARNING,
    "engineio.server": logging.WARNING,
    "pymongo": logging.WARNING,
    "asyncio": logging.WARNING,
    "aiosmtplib": logging.WARNING,
    "saq": logging.WARNING,
    "aiohttp.access": logging.WARNING,
}


_CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)


class log_context:  # noqa: N801 - used like a function in `with`
    """Add fields to every line logged inside a `with` block, including libraries' lines.

    Uses one dictionary in one context variable: structlog uses a variable for each field, at 10 µs to set and
    clear three of them in every request.
    """

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _CONTEXT.set(self._fields)

    def __exit__(self, *_error: object) -> None:
        _CONTEXT.reset(self._token)


def extend_log_context(**fields: str) -> None:
    """Add fields to the innermost `log_context`."""
    around = _CONTEXT.get()
    if around is not None:
        around.update(fields)


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["json", "text"],
    stream: TextIO | None = None,
) -> None:
    """Direct all loggers of the process, including libraries', to `stream` (default: stderr)."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        _add_context,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _downgrade_bad_http,
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**(_CONTEXT.get() or {}), **event}


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every value whose field name or content looks like a secret."""
    public = {
        _known(name).shown: _clean(name, value, MAX_DEPTH) for name, value in event.items() if name[:1] != "_"
    }
    # structlog's internal fields, removed before the line is written.
    private = {name: value for name, value in event.items() if name[:1] == "_"}
    return {**public, **private}


def masked(text: str) -> str:
    """`text` with secrets masked and characters that UTF-8 cannot encode escaped."""
    if text.isascii():
        lowered = text.lower()
        if not any(sign in lowered for sign in SECRET_SIGNS):
            return text
    text = text.encode("utf-8", "backslashreplace").decode()
    for pattern, replacement in SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


class _Name(NamedTuple):
    """A field name as it may be logged, and whether its values are secret."""

    shown: str
    is_secret: bool


# We use some fifty names. Bounded, since nested names can come from a client.
@functools.lru_cache(maxsize=512)
def _known(name: str) -> _Name:
    return _Name(masked(name), SECRET_NAMES.search(name.lower().replace("_", "").replace("-", "")) is not None)


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if _known(name).is_secret:
        return MASK
    if isinstance(value, Mapping) and depth:
        return {masked(str(key)): _clean(str(key), item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean("", item, depth - 1) for item in value]
    text = value if isinstance(value, str) else repr(value)
    return masked(text[:MAX_VALUE_LENGTH])


def _downgrade_bad_http(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Malformed or oversized HTTP from a client is not a server error, and the parser's message repeats the bytes.
    record = event.get("_record")
    failure = record.exc_info[1] if record is not None and record.exc_info else None
    kind = type(failure)
    if kind.__module__ in BAD_HTTP_MODULES or kind.__name__ == BAD_BODY:
        event.pop("exc_info", None)
        event["event"], event["level"], event["parser"] = "not_http", "info", kind.__name__
    return event


def _to_json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS, default=repr).decode()
