"""Structured logs: one line per event on stderr, JSON for machines or text for people.

Policy: no secret is ever passed to a logger. What is here is the last line of defence: every value of every
line, tracebacks and other libraries' messages included, is searched for what looks like a secret and masked.
The request's id travels in a context variable, so that a line written deep in a store carries them.
"""

import functools
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "[redacted]"
MAX_VALUE_LENGTH = 16_384
MAX_DEPTH = 6

HTTP_PARSER_ERRORS = "aiohttp.http_exceptions"

# Values of fields with these names are masked whole (compared without `_` and `-`, in lower case).
SECRET_NAMES = re.compile(
    r"(?:password|passwd|secret|secretkey|token|authorization|cookie|setcookie|nonce|csrf|csrfkey|signingkey)$"
)

# What looks like a secret inside a longer text.
SECRET_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"rt1\.[A-Za-z0-9_-]{6,}"), f"rt1.{MASK}"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)+"), MASK),
    (re.compile(r"\$argon2[a-z]*\$[^\s\"']+"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(r"(?i)((?:authorization|set-cookie|cookie|x-csrf-token)[\"']?\s*[:=]\s*)[^\r\n]+"),
        rf"\1{MASK}",
    ),
    (
        re.compile(r"(?i)((?:password|passwd|secret|token)[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}\]]+)"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(://[^\s:/@]*:)[^\s@/]+@"), rf"\1{MASK}@"),
)

# Every pattern above needs one of these: a text without any, as nearly all are, is let through in 1 µs, not 8.
SECRET_SIGNS = (
    "rt1.", "eyj", "$argon2", "bearer", "basic", "authorization", "cookie", "csrf", "passw", "secret", "token", "://",
)  # fmt: skip

# Their own level is too talkative, or their lines carry packets and commands with secrets in them.
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


_ABOUT: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


class about:  # noqa: N801 - a `with` statement reads like a call
    """Puts fields on every line written inside a `with`, those of libraries too.

    One dictionary in one context variable: structlog has a variable for each field, and takes 10 µs to set and
    clear three of them, at every request.
    """

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _ABOUT.set(self._fields)

    def __exit__(self, *_error: object) -> None:
        _ABOUT.reset(self._token)


def also_about(**fields: str) -> None:
    """Put more fields on the lines of the innermost `about`."""
    around = _ABOUT.get()
    if around is not None:
        around.update(fields)


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["json", "text"],
    stream: TextIO | None = None,
) -> None:
    """Send every logger of the process, ours and the libraries', to `stream`, or else to stderr."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        _add_about,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _unstartle,
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


def _add_about(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**(_ABOUT.get() or {}), **event}


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every value that has a secret's name or a secret's look."""
    public = {
        _known(name).shown: _clean(name, value, MAX_DEPTH) for name, value in event.items() if name[:1] != "_"
    }
    # structlog's own, taken out again before the line is written.
    private = {name: value for name, value in event.items() if name[:1] == "_"}
    return {**public, **private}


def masked(text: str) -> str:
    """`text` with everything that looks like a secret masked, and nothing that UTF-8 cannot hold."""
    if text.isascii():
        lowered = text.lower()
        if not any(sign in lowered for sign in SECRET_SIGNS):
            return text
    text = text.encode("utf-8", "backslashreplace").decode()
    for pattern, replacement in SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


class _Name(NamedTuple):
    """A field's name as it may be written, and whether its values may be."""

    shown: str
    is_secret: bool


# Our own names are some fifty. Bounded, since a nested one can be a stranger's.
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


def _unstartle(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Anybody can send bytes that are not HTTP. It is no error of ours, and the parser's text repeats them.
    record = event.get("_record")
    failure = record.exc_info[1] if record is not None and record.exc_info else None
    if failure is not None and type(failure).__module__ == HTTP_PARSER_ERRORS:
        event.pop("exc_info", None)
        event["event"], event["level"], event["parser"] = "not_http", "info", type(failure).__name__
    return event


def _to_json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS, default=repr).decode()
