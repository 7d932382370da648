"""aiohttp: a decorator for handlers."""

import functools
from collections.abc import Awaitable, Callable

from aiohttp import web

from vigil_verify.errors import VerificationError
from vigil_verify.tokens import Claims
from vigil_verify.verifier import Verifier

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLAIMS: web.RequestKey[Claims] = web.RequestKey("vigil_claims", Claims)


def protected(verifier: Verifier) -> Callable[[Handler], Handler]:
    """Decorate a handler: it is called with a valid token only, whose claims are `request[CLAIMS]`."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                request[CLAIMS] = await verifier.verify_header_async(request.headers.get("Authorization"))
            except VerificationError as refusal:
                return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
            return await handler(request)

        return guarded

    return decorate
