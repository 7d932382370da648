"""Starlette and FastAPI: a dependency for FastAPI's routes, and a decorator for Starlette's."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from vigil_verify.errors import VerificationError
from vigil_verify.tokens import Claims
from vigil_verify.verifier import Verifier


class RequireToken:
    """A dependency: `Annotated[Claims, Depends(RequireToken(verifier))]`. Raises Starlette's `HTTPException`."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def __call__(self, connection: HTTPConnection) -> Claims:
        """Return the claims of the token in the request."""
        try:
            return await self._verifier.verify_header_async(connection.headers.get("Authorization"))
        except VerificationError as refusal:
            raise HTTPException(refusal.status, refusal.body, refusal.headers) from None  # type: ignore[arg-type]


def protected(verifier: Verifier) -> Callable[[Callable[[Request], Awaitable[Response]]], Any]:
    """Decorate an endpoint: it is called with a valid token only, whose claims are `request.state.claims`."""

    def decorate(endpoint: Callable[[Request], Awaitable[Response]]) -> Any:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            try:
                request.state.claims = await verifier.verify_header_async(request.headers.get("Authorization"))
            except VerificationError as refusal:
                return JSONResponse(refusal.body, refusal.status, refusal.headers)
            return await endpoint(request)

        return guarded

    return decorate
