"""JSON bodies over HTTP: size-limited parsing of requests, and the envelope of success and failure responses."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from auth.core.errors import (
    AuthError,
    FieldError,
    InvalidJson,
    MissingToken,
    PayloadTooLarge,
    StepUpRequired,
    UnsupportedMediaType,
)
from auth.core.views import View

JSON_TYPE = "application/json"
JSON_HEADERS = {"Content-Type": JSON_TYPE}

MAX_BODY_BYTES = 64 * 1024
EMPTY: Mapping[str, str] = MappingProxyType({})

# Error codes reported as `invalid_token` in WWW-Authenticate (RFC 6750, section 3.1).
BEARER_ERRORS = frozenset(
    {"invalid_token", "token_expired", "session_revoked", "session_expired", "refresh_reused"}
)


async def read_json(request: web.Request, *, optional: bool) -> Any:
    """Parse the body; `{}` for an empty body if it is `optional`.

    For a repeated key the last value wins, as in browsers. Raises `UnsupportedMediaType`, `PayloadTooLarge` or
    `InvalidJson`.
    """
    raw = await read_bounded(request)
    if not raw and optional:
        return {}
    if not is_json(request.headers.get("Content-Type", "")):
        raise UnsupportedMediaType
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Also raised for NaN and Infinity, invalid UTF-8, lone surrogates and deep nesting.
        raise InvalidJson from None


async def read_bounded(request: web.Request) -> bytes:
    """Read the body, up to the size limit. A too large Content-Length is rejected without reading.

    Raises `PayloadTooLarge` or `InvalidJson`.
    """
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise PayloadTooLarge
    raw = bytearray()
    try:
        while chunk := await request.content.readany():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise PayloadTooLarge
    except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError):
        raise InvalidJson("The body could not be read.") from None
    return bytes(raw)


def is_json(content_type: str) -> bool:
    """Whether the media type is application/json; a charset parameter must be UTF-8."""
    kind, _, parameters = content_type.partition(";")
    charsets = [
        value.strip(" \t\"'")
        for name, _, value in (parameter.partition("=") for parameter in parameters.split(";"))
        if name.strip().lower() == "charset"
    ]
    return kind.strip().lower() == JSON_TYPE and all(charset.lower() in {"utf-8", "utf8"} for charset in charsets)


def success(data: View, *, status: int = 200, message: str | None = None) -> web.Response:
    """Build a success response: `{"success": true, …}`."""
    said = b"" if message is None else b'"message":' + orjson.dumps(message) + b","
    body = b'{"success":true,' + said + b'"data":' + data.to_json() + b"}"
    return web.Response(body=body, status=status, headers=JSON_HEADERS)


def failure(error: AuthError, request_id: str, *, more: Mapping[str, str] = EMPTY) -> web.Response:
    """Build an error response: `{"success": false, …}` and `more`, with the headers of the error."""
    body: dict[str, Any] = {
        "success": False,
        "code": error.code,
        "message": error.message,
        "requestId": request_id,
        **more,
    }
    errors: Sequence[FieldError] = getattr(error, "errors", ())
    if errors:
        body["errors"] = [{"field": wrong.field, "message": wrong.message} for wrong in errors]
    if isinstance(error, StepUpRequired):
        body |= {"acr": error.acr, "maxAge": error.max_age, "methods": list(error.methods)}
    return json_response(body, status=error.status, headers=_headers(error))


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build a response with `body` as JSON."""
    headers = {**JSON_HEADERS, **headers} if headers else JSON_HEADERS
    return web.Response(body=orjson.dumps(body), status=status, headers=headers)


def _headers(error: AuthError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if isinstance(error, StepUpRequired):
        # RFC 9470, section 3.
        headers["WWW-Authenticate"] = (
            f'Bearer error="insufficient_user_authentication", acr_values="{error.acr}", max_age={error.max_age}'
        )
    elif isinstance(error, MissingToken):
        headers["WWW-Authenticate"] = "Bearer"
    elif error.status == 401:
        told = ' error="invalid_token"' if error.code in BEARER_ERRORS else ""
        headers["WWW-Authenticate"] = f"Bearer{told}"
    return headers
