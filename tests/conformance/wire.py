"""Engine.IO as it is on the wire: requests, polls and WebSocket frames, nothing answered for the test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

# What a server does at once, even on a busy machine; a ping timeout in production takes 45 s.
PROMPTLY = 10.0
# When a test waits for something that must come sometime: only a broken server lets it wait so long.
PATIENTLY = 30.0
SEPARATOR = "\x1e"
PING, PONG = "2", "3"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. Status 0: the server cut the connection instead of answering."""

    status: int
    text: str
    headers: Any

    @property
    def packets(self) -> list[str]:
        assert self.status == 200, self
        return self.text.split(SEPARATOR)


class Refused(Exception):
    """A WebSocket was not opened: HTTP answered with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered with {status}")
        self.status = status


@dataclass(frozen=True)
class Wire:
    """One server, as far as its path; `interval` and `timeout` are its pings', in seconds.

    `always`: what every query begins with, for whoever stands before the server.
    """

    http: aiohttp.ClientSession
    url: str
    path: str
    interval: float
    timeout: float
    always: str = ""

    def target(self, **query: str) -> str:
        """The path with a query."""
        return f"{self.path}?{self.always}" + "&".join(f"{name}={value}" for name, value in query.items())

    async def ask(
        self, method: str = "GET", body: str | bytes | None = None, headers: Any = None, **query: str
    ) -> Reply:
        """Send a request with exactly that query."""
        try:
            async with (
                asyncio.timeout(PATIENTLY),
                self.http.request(method, self.url + self.target(**query), data=body, headers=headers) as answer,
            ):
                return Reply(answer.status, await answer.text(), answer.headers)
        except aiohttp.ClientConnectionError:
            return Reply(0, "", {})

    async def let_it_work(self) -> None:
        """Wait until the server has taken what was sent to it before, on whatever connection.

        Another request alone could overtake it: a new connection is accepted in one round of an event loop and
        read in the next.
        """
        for _ in range(4):
            await self.ask(EIO="4", transport="none")

    async def poll_in(self) -> "Polling":
        """A new polling connection."""
        reply = await self.ask(EIO="4", transport="polling")
        assert reply.text.startswith("0"), reply
        return Polling(self, json.loads(reply.text[1:])["sid"])

    @asynccontextmanager
    async def websocket(self, **query: str) -> AsyncIterator["WebSocket"]:
        """A WebSocket with exactly that query, nothing read yet. Raises `Refused`."""
        try:
            ws = await self.http.ws_connect(self.url + self.target(**query), autoping=False, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(error.status) from None
        async with ws:
            yield WebSocket(ws)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["WebSocket"]:
        """A new connection by WebSocket, as far as Engine.IO's greeting."""
        async with self.websocket(EIO="4", transport="websocket") as socket:
            opened = await socket.receive()
            assert isinstance(opened, str), opened
            assert opened.startswith("0"), opened
            socket.sid = json.loads(opened[1:])["sid"]
            yield socket

    @asynccontextmanager
    async def upgrade(self, polling: "Polling") -> AsyncIterator["WebSocket"]:
        """A WebSocket beside a polling connection, not probed yet."""
        async with self.websocket(EIO="4", transport="websocket", sid=polling.sid) as socket:
            yield socket


class WebSocket:
    """One WebSocket, frame by frame."""

    sid = ""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def send(self, *frames: str | bytes) -> None:
        """Frames, as they are; a peer that has hung up is no error."""
        for frame in frames:
            try:
                await (self._ws.send_str(frame) if isinstance(frame, str) else self._ws.send_bytes(frame))
            except (ConnectionError, aiohttp.ClientError):
                return

    async def receive(self, timeout: float = PATIENTLY) -> str | bytes | None:
        """The next frame, a ping like any other; None when the connection is closed."""
        async with asyncio.timeout(timeout):
            frame = await self._ws.receive()
        return frame.data if frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY) else None

    async def message(self, timeout: float = PATIENTLY) -> str | bytes | None:
        """The next frame that is no ping; pings are answered."""
        async with asyncio.timeout(timeout):
            while (frame := await self.receive()) == PING:
                await self.send(PONG)
        return frame

    async def messages(self, count: int) -> list[str | bytes | None]:
        """The next frames that are no pings; pings are answered."""
        return [await self.message() for _ in range(count)]

    async def until_closed(self, timeout: float) -> list[str | bytes]:
        """What still comes until the server closes; pings are not answered. Fails when it does not in time."""
        rest: list[str | bytes] = []
        try:
            async with asyncio.timeout(timeout):
                while (frame := await self.receive(timeout + 1)) is not None:
                    rest.append(frame)
        except TimeoutError:
            raise AssertionError(f"still open after {timeout} s; heard {rest}") from None
        return rest

    async def close(self) -> None:
        """Close it as a client does."""
        await self._ws.close()


@dataclass(frozen=True)
class Polling:
    """One polling connection, request by request."""

    wire: Wire
    sid: str

    @property
    def query(self) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", "sid": self.sid}

    async def poll(self) -> Reply:
        """One poll."""
        return await self.wire.ask(**self.query)

    async def post(self, *packets: str) -> Reply:
        """One post."""
        body = SEPARATOR.join(packets).encode()
        return await self.wire.ask("POST", body, {"Content-Type": "text/plain;charset=UTF-8"}, **self.query)

    async def hang(self) -> "HangingRequest":
        """A poll that the server has taken and does not answer yet."""
        request = await HangingRequest.send(self.wire, "GET", self.wire.target(**self.query))
        await self.wire.let_it_work()
        return request

    async def post_half(self) -> "HangingRequest":
        """A post whose body is still on its way."""
        target = self.wire.target(**self.query)
        request = await HangingRequest.send(self.wire, "POST", target, "Content-Length: 10\r\n", "4half")
        await self.wire.let_it_work()
        return request

    async def until_gone(self, timeout: float = PATIENTLY) -> list[str]:
        """Poll until the server does not know the connection any more; what it still said."""
        said: list[str] = []
        try:
            async with asyncio.timeout(timeout):
                while (reply := await self.poll()).status == 200:
                    said += reply.packets
        except TimeoutError:
            raise AssertionError(f"still there after {timeout} s; heard {said}") from None
        assert reply.status == 400, reply
        return said

    async def message(self) -> str:
        """The next packet that is no ping, of a server that has sent one; pings are answered."""
        return (await self.messages(1))[0]

    async def messages(self, count: int) -> list[str]:
        """The next packets that are no pings; pings are answered."""
        got: list[str] = []
        while len(got) < count:
            for packet in (await self.poll()).packets:
                if packet == PING:
                    await self.post(PONG)
                else:
                    got.append(packet)
        return got


@dataclass
class HangingRequest:
    """A request on a TCP connection of its own, its answer still to come."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def send(cls, wire: Wire, method: str, target: str, headers: str = "", body: str = "") -> Self:
        host, port = wire.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}".encode())
        await writer.drain()
        return cls(reader, writer)

    async def answer(self, timeout: float = PATIENTLY) -> Reply:
        """The answer, within `timeout` seconds. Status 0: the server cut the connection."""
        try:
            async with asyncio.timeout(timeout):
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
                status, *lines = head.split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                text = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Reply(0, "", {})
        finally:
            self.abandon()
        return Reply(int(status.split()[1]), text.decode(), headers)

    def abandon(self) -> None:
        """Hang up."""
        self.writer.close()
