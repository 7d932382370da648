"""The load generator's HTTP client: one keep-alive connection, one request at a time, JSON bodies."""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Any, Self, cast

import orjson

from bench.client import ANSWER_SECONDS, CONNECT_SECONDS, LoadError

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# A browser's User-Agent: servers parse it at login.
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and its duration."""

    status: int
    body: bytes
    seconds: float

    @property
    def data(self) -> dict[str, Any]:
        """The envelope's data. Raises `LoadError` unless the response is a success."""
        if self.status >= 300:
            raise LoadError(f"HTTP {self.status}: {self.body.decode(errors='replace')[:300]}")
        return cast("dict[str, Any]", orjson.loads(self.body)["data"])


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host = f"Host: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n"
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(lambda: cls(host, port), host, port)
        return connection

    async def request(self, method: str, path: str, *, token: str | None = None, body: Any = None) -> Answer:
        """Send a request and wait for its response."""
        head = f"{method} {path} HTTP/1.1\r\n{self._host}"
        if token is not None:
            head += f"Authorization: Bearer {token}\r\n"
        content = b""
        if body is not None:
            content = orjson.dumps(body)
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self._waiting = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        self._transport.write(head.encode() + b"\r\n" + content)
        status, answer = await asyncio.wait_for(self._waiting, ANSWER_SECONDS)
        return Answer(status, answer, time.perf_counter() - begun)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Buffer input until a response is complete."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._buffer, 0, end)
        if found is None:
            self._settle(LoadError("a response without Content-Length"))
            return
        whole = end + 4 + int(found[1])
        if len(self._buffer) >= whole:
            answer = int(self._buffer[9:12]), self._buffer[end + 4 : whole]
            self._buffer = self._buffer[whole:]
            self._settle(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending request."""
        self._settle(LoadError(f"the server closed the connection: {exc or 'between requests'}"))

    def _settle(self, outcome: tuple[int, bytes] | LoadError) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if isinstance(outcome, LoadError):
            self._waiting.set_exception(outcome)
        else:
            self._waiting.set_result(outcome)
