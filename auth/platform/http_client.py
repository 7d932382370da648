"""Outgoing HTTP requests to configured servers: providers and the SMS webhook.

Response time and size are limited, and responses are never decompressed. Redirects are not followed, so that a
server cannot send us, with a secret, to an address of its choice (SSRF; ASVS 5.0, 1.3.6).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import structlog

from auth.core.errors import Unavailable

log = structlog.get_logger()

SECONDS = 5.0
CONNECT_SECONDS = 3.0
# Key sets with certificates and profiles with an embedded picture have hundreds of kilobytes.
MAX_BYTES = 1024 * 1024
# Limit of one header: providers' cookies and content security policies exceed aiohttp's 8 KiB.
MAX_HEADER_BYTES = 32 * 1024
MAX_CONNECTIONS = 32
MAX_CONNECTIONS_PER_HOST = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of another server. Its body may contain tokens, so it is not in the repr."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status}, …)"


class HttpClient:
    """An HTTP client that keeps no cookies, follows no redirects and does not trust Content-Length."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """Send a GET request. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("GET", url, body=None, headers=headers)

    async def post(self, url: str, *, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """POST a form. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("POST", url, body=form, headers=headers)

    async def post_json(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Reply:
        """POST JSON, unmodified. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("POST", url, body=body, headers={**headers, "Content-Type": "application/json"})

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _request(
        self, method: str, url: str, *, body: Mapping[str, str] | bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        # No compression: a few kilobytes could expand to gigabytes.
        plain = {**headers, "Accept-Encoding": "identity"}
        try:
            async with self._open_session().request(
                method, url, data=body, headers=plain, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The error's own text is not logged: it can contain the URL with its query.
            log.warning("outgoing_request_failed", host=_host(url), error=type(error).__name__)
            raise Unavailable from None

    def _open_session(self) -> aiohttp.ClientSession:
        """The aiohttp session, created on first use because it belongs to the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, limit_per_host=MAX_CONNECTIONS_PER_HOST),
                timeout=aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session


class ResponseTooLong(ValueError):
    """The response is longer than `MAX_BYTES`."""


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ResponseTooLong
    return bytes(body)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
