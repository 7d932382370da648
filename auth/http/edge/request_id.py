"""Request ids: sent in `X-Request-Id` and in error bodies, and logged on every line of the request."""

import re
import secrets

from aiohttp import web

REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_HEADER = "X-Request-Id"

SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def request_id_of(request: web.Request) -> str:
    """Return the client's `X-Request-Id` if it is short and safe to log, else a new id."""
    claimed = request.headers.get(REQUEST_ID_HEADER, "")
    return claimed if SAFE_REQUEST_ID.fullmatch(claimed) else new_request_id()


def new_request_id() -> str:
    """Return a new id of 96 random bits."""
    return secrets.token_hex(12)
