"""`GET /.well-known/jwks.json`: the public keys of access tokens (RFC 7517)."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from auth.http.json import json_response

JWKS_PATH = "/.well-known/jwks.json"
# The next key is published long before it is used, so caching for five minutes is safe.
MAX_AGE_SECONDS = 300


def jwks_handler(jwks: Callable[[], Mapping[str, Any]]) -> Callable[[web.Request], Any]:
    """Build the handler, which responds with the current key set."""

    async def show(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"}
        return json_response(dict(jwks()), headers=headers)

    return show
