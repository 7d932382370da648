"""The server's edge below the application: what is not even HTTP is refused in the contract's form too.

aiohttp answers bytes that it cannot parse by itself, before any middleware, in plain text that repeats them.
"""

import secrets

from aiohttp import web

from auth.errors import AuthError, InvalidRequest
from auth.http.answers import failure


class Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words repeat what was sent
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or whose handler failed outside our middlewares."""
        self.log_exception("Error handling request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        error = InvalidRequest("This is not a valid HTTP request.") if status < 500 else AuthError()
        request_id = secrets.token_hex(12)
        response = failure(error, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "vigil"
        response.force_close()
        return response


class Server(web.Server):
    """Makes a `Protocol` for each connection."""

    def __call__(self) -> web.RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class HttpRunner(web.AppRunner):
    """aiohttp's runner, with our answers to what is not HTTP and without its access log.

    aiohttp has no public hook for the former; a test holds it to what this relies on.
    """

    def __init__(self, app: web.Application, *, shutdown_timeout: float = 5) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
