"""The two shapes of every JSON answer: success and failure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from auth.errors import AuthError, FieldError, MissingToken, StepUpRequired
from auth.views import View

JSON_TYPE = "application/json"
JSON_HEADERS = {"Content-Type": JSON_TYPE}

# RFC 6750, section 3.1: what is wrong with a token that was sent.
BEARER_ERRORS = frozenset(
    {"invalid_token", "token_expired", "session_revoked", "session_expired", "refresh_reused"}
)


def success(data: View, *, status: int = 200, message: str | None = None) -> web.Response:
    """`{"success": true, …}`."""
    said = b"" if message is None else b'"message":' + orjson.dumps(message) + b","
    body = b'{"success":true,' + said + b'"data":' + data.to_json() + b"}"
    return web.Response(body=body, status=status, headers=JSON_HEADERS)


def failure(error: AuthError, request_id: str) -> web.Response:
    """`{"success": false, …}` with the headers that belong to the error."""
    body: dict[str, Any] = {
        "success": False,
        "code": error.code,
        "message": error.message,
        "requestId": request_id,
    }
    errors: Sequence[FieldError] = getattr(error, "errors", ())
    if errors:
        body["errors"] = [{"field": wrong.field, "message": wrong.message} for wrong in errors]
    if isinstance(error, StepUpRequired):
        body |= {"acr": error.acr, "maxAge": error.max_age, "methods": list(error.methods)}
    return json_response(body, status=error.status, headers=_headers(error))


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` as JSON."""
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
