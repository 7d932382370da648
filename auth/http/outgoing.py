"""Asking other servers over HTTP: providers and the webhook for SMS, which the operator's settings lead to.

An answer has seconds to come and a size it may not pass, compressed or not; a redirect is an answer like any
other, so that nobody sends us on to an address of their choice with a secret in hand (SSRF; ASVS 5.0, 1.3.6).
"""

from collections.abc import Mapping

import aiohttp
import structlog

from auth.errors import Unavailable
from auth.oauth.provider import Reply

log = structlog.get_logger()

SECONDS = 5.0
CONNECT_SECONDS = 3.0
MAX_BYTES = 256 * 1024
MOST_CONNECTIONS = 32
MOST_CONNECTIONS_TO_ONE_HOST = 8


class OutgoingHttp:
    """A client that keeps no cookies, follows nothing and believes no size."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """GET. Raises `Unavailable` when no answer comes, or one that is too long."""
        return await self._ask("GET", url, body=None, headers=headers)

    async def post(self, url: str, *, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """POST a form. Raises `Unavailable` when no answer comes, or one that is too long."""
        return await self._ask("POST", url, body=form, headers=headers)

    async def post_json(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Reply:
        """POST JSON, byte for byte as it is given. Raises `Unavailable` when no answer comes, or one too long."""
        return await self._ask("POST", url, body=body, headers={**headers, "Content-Type": "application/json"})

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, url: str, *, body: Mapping[str, str] | bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        # Compressed, a few kilobytes could be gigabytes.
        plain = {**headers, "Accept-Encoding": "identity"}
        try:
            async with self._opened().request(
                method, url, data=body, headers=plain, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The error's own text can repeat the URL, and with it what stands in its query.
            log.warning("outgoing_request_failed", host=_host(url), error=type(error).__name__)
            raise Unavailable from None

    def _opened(self) -> aiohttp.ClientSession:
        """The client, made when it is first needed: it belongs to the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MOST_CONNECTIONS, limit_per_host=MOST_CONNECTIONS_TO_ONE_HOST
                ),
                timeout=aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_chunked(16 * 1024):
        body += piece
        if len(body) > MAX_BYTES:
            raise ValueError("too long")
    return bytes(body)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
