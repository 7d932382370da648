"""Outgoing HTTP requests to configured servers: providers, webhooks and the application's URL.

Response time and size are limited, and responses are never decompressed. Redirects are not followed, so that a
server cannot send us, with a secret, to an address of its choice (SSRF; ASVS 5.0, 1.3.6). A client that is
`only_public` connects to the very addresses that it has examined, so that a name that resolves to another address
the next time (DNS rebinding) gains nothing.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from auth.core.errors import Unavailable
from auth.platform.hosts import is_address, is_public

log = structlog.get_logger()

SECONDS = 5.0
CONNECT_SECONDS = 3.0
# Key sets with certificates and profiles with an embedded picture have hundreds of kilobytes.
MAX_BYTES = 1024 * 1024
# Limit of one header: providers' cookies and content security policies exceed aiohttp's 8 KiB.
MAX_HEADER_BYTES = 32 * 1024
MAX_CONNECTIONS = 32
MAX_CONNECTIONS_PER_HOST = 8
KEEP_ALIVE_SECONDS = 15.0
# aiohttp's own would reveal its version, and firewalls refuse names of HTTP libraries.
USER_AGENT = "vigil"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of another server. Its body may contain tokens, so it is not in the repr.

    `retry_after`: the header of that name, as it was sent.
    """

    status: int
    body: bytes
    retry_after: str = ""

    def __repr__(self) -> str:
        return f"Reply({self.status}, …)"


class HttpClient:
    """An HTTP client that keeps no cookies, follows no redirects and does not trust Content-Length.

    `only_public`: connect to addresses of the public internet only. `per_host`: most connections to one server.
    `keep_alive_seconds`: how long a connection stays open unused.
    """

    def __init__(
        self,
        *,
        only_public: bool = False,
        per_host: int = MAX_CONNECTIONS_PER_HOST,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._only_public = only_public
        self._per_host = per_host
        self._keep_alive_seconds = keep_alive_seconds
        self._max_bytes = max_bytes

    async def get(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """Send a GET request. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("GET", url, body=None, headers=headers)

    async def post(self, url: str, *, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """POST a form. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("POST", url, body=form, headers=headers)

    async def post_json(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Reply:
        """POST JSON, unmodified. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("POST", url, body=body, headers={**headers, "Content-Type": "application/json"})

    async def post_bytes(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Reply:
        """POST a body of the type in `headers`. Raises `Unavailable` if there is no response or it is too long."""
        return await self._request("POST", url, body=body, headers=headers)

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
            if self._only_public:
                _require_public(url)
            async with self._open_session().request(
                method, url, data=body, headers=plain, allow_redirects=False
            ) as answer:
                return Reply(
                    answer.status,
                    await _body(answer, self._max_bytes),
                    answer.headers.get("Retry-After", ""),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The error's own text is not logged: it can contain the URL with its query.
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            shown = cause if isinstance(cause, PrivateAddress) else error
            log.warning("outgoing_request_failed", host=_host(url), error=type(shown).__name__)
            raise Unavailable from None

    def _open_session(self) -> aiohttp.ClientSession:
        """The aiohttp session, created on first use because it belongs to the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=max(MAX_CONNECTIONS, self._per_host),
                    limit_per_host=self._per_host,
                    keepalive_timeout=self._keep_alive_seconds,
                    resolver=PublicResolver() if self._only_public else None,
                ),
                timeout=aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                auto_decompress=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session


class PrivateAddress(OSError):
    """A client that is `only_public` was to connect to an address that is not."""


class PublicResolver(AbstractResolver):
    """Resolves names to addresses of the public internet. Connections go to these, without resolving again."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name. Raises `PrivateAddress` if none of its addresses is public."""
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if not public:
            raise PrivateAddress
        return public

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()


class ResponseTooLong(ValueError):
    """The response is longer than allowed."""


def _require_public(url: str) -> None:
    """Raise `PrivateAddress` for an address in the URL itself, which is not resolved."""
    # As aiohttp reads it: IDNA turns other digits (fullwidth, circled) and full stops into those of an address.
    host = URL(url).raw_host or ""
    if is_address(host) and not is_public(host):
        raise PrivateAddress


async def _body(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > max_bytes:
            raise ResponseTooLong
    return bytes(body)


def _host(url: str) -> str:
    """Host and port, without user, password and query."""
    try:
        return URL(url).host_port_subcomponent or ""
    except ValueError:
        return ""
