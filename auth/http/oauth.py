"""Requests and refusals in the form of OAuth 2.0, for clients that speak it: token introspection (RFC 7662).

A request is a form, of which unknown fields are ignored. A client can authenticate by Basic credentials, as OAuth
clients send their secret (RFC 6749, section 2.3.1). A refusal names an `error` in addition to our own `code`.
"""

import base64
import binascii
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from auth.core.errors import AuthError, InvalidRequest, InvalidToken
from auth.core.views import Input
from auth.http.edge.request_id import REQUEST_ID
from auth.http.forms import form_fields
from auth.http.identity import bearer_token
from auth.http.json import failure

# RFC 6749, section 5.2, and RFC 6750, section 3.1.
ERRORS = {400: "invalid_request", 401: "invalid_client", 403: "insufficient_scope", 415: "invalid_request"}


def server_key_of(request: web.Request) -> str | None:
    """Return the server key: a bearer token, or the password of Basic credentials with any user name.

    Raises `InvalidToken` for a malformed header.
    """
    if not _is_basic(request):
        return bearer_token(request)
    try:
        _, _, encoded = request.headers["Authorization"].partition(" ")
        _, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidToken("This is not a server key.") from None
    return unquote_plus(password)


async def read_oauth_form(request: web.Request, takes: type[Input]) -> dict[str, Any]:
    """Return the fields of a form that `takes` knows. Raises `InvalidRequest` for a repeated field."""
    fields = await form_fields(request)
    if fields is None:
        raise InvalidRequest("A field is repeated, or there are too many.")
    known = {field.alias or name for name, field in takes.model_fields.items()}
    return {name: value for name, value in fields.items() if name in known}


def oauth_failure(refusal: AuthError, request: web.Request) -> web.Response:
    """Build the response to a refused request that was a form."""
    by_basic = _is_basic(request)
    error = ERRORS.get(refusal.status, "temporarily_unavailable")
    if refusal.status == 401 and not by_basic and "Authorization" in request.headers:
        error = "invalid_token"
    response = failure(refusal, request[REQUEST_ID], more={"error": error})
    if refusal.status == 401 and by_basic:
        response.headers["WWW-Authenticate"] = 'Basic realm="vigil"'
    return response


def _is_basic(request: web.Request) -> bool:
    headers = request.headers.getall("Authorization", [])
    return len(headers) == 1 and headers[0].partition(" ")[0].lower() == "basic"
