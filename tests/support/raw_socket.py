"""A low-level Socket.IO peer that sends arbitrary packets, valid or not."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

HANDSHAKE = "/socket.io/?EIO=4&transport="
PACKET = re.compile(r"(\d)(?:(/[^,]*),)?(\d*)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Packet:
    """One Socket.IO packet; `data` is None if it has none."""

    kind: str
    id: int | None
    data: Any
    namespace: str = "/"

    @property
    def event(self) -> str | None:
        """The event name; None for other packets."""
        return self.data[0] if isinstance(self.data, list) and self.data else None

    @classmethod
    def read(cls, text: str) -> Self:
        found = PACKET.fullmatch(text)
        assert found is not None, text
        kind, namespace, number, rest = found.groups()
        return cls(kind, int(number) if number else None, json.loads(rest) if rest else None, namespace or "/")


@dataclass
class RawSocket:
    """One WebSocket to a node; answers Engine.IO pings."""

    ws: aiohttp.ClientWebSocketResponse
    heard: list[Packet] = field(default_factory=list)
    _next_id: int = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, headers: dict[str, str] | None = None, receive_buffer: int | None = None
    ) -> AsyncIterator[Self]:
        """Connect up to Engine.IO's open packet. `receive_buffer`: the kernel's, small for a slow peer."""

        def make(info: Any) -> socket.socket:
            made = socket.socket(info[0], info[1], info[2])
            if receive_buffer is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            return made

        connector = aiohttp.TCPConnector(socket_factory=make)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.ws_connect(
                url + HANDSHAKE + "websocket", headers=headers, max_msg_size=0, autoping=False
            ) as ws,
        ):
            raw = cls(ws)
            opened = await raw.receive()
            assert isinstance(opened, str)
            assert opened.startswith('0{"sid"'), opened
            yield raw

    async def receive(self, timeout: float = 10) -> str | bytes | None:
        """Return the next frame that is not a ping; None if the connection is closed."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.ws.receive()
                if frame.type is aiohttp.WSMsgType.PING:
                    await self.ws.pong(frame.data)
                elif frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    if frame.data != "2":
                        return frame.data
                    await self.ws.send_str("3")
                else:
                    return None

    def abort(self) -> None:
        """Abort the connection without a close frame."""
        connection = self.ws._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()

    async def send(self, frame: str | bytes) -> None:
        """Send a frame unchanged; a closed connection is not an error."""
        try:
            await (self.ws.send_str(frame) if isinstance(frame, str) else self.ws.send_bytes(frame))
        except (ConnectionError, aiohttp.ClientError):
            return

    async def packet(self, timeout: float = 10) -> Packet | None:
        """Return the next Socket.IO packet; None if the connection is closed."""
        frame = await self.receive(timeout)
        if not isinstance(frame, str) or not frame.startswith("4"):
            return None
        self.heard.append(Packet.read(frame[1:]))
        return self.heard[-1]

    async def wait_for(self, kind: str, number: int | None = None, *, event: str | None = None) -> Packet:
        """Return the next packet of a kind, with the given id or event; earlier ones are kept in `heard`."""
        while True:
            packet = await self.packet()
            assert packet is not None, f"closed before {kind}{number or ''} came; heard {self.heard}"
            if packet.kind == kind and number in (None, packet.id) and event in (None, packet.event):
                return packet

    async def connect(self, auth: Any = None) -> Packet:
        """Perform the handshake; the answer is of kind 0, or of kind 4 if it is rejected."""
        await self.send("40" + ("" if auth is None else json.dumps(auth)))
        answer = await self.packet()
        assert answer is not None, "closed instead of answered"
        if answer.kind == "0":
            await self.wait_for("2", event="ready")
        return answer

    async def emit(self, event: str, *arguments: Any) -> int:
        """Send an event with an ack; return the ack id."""
        self._next_id += 1
        await self.send(f"42{self._next_id}{json.dumps([event, *arguments])}")
        return self._next_id

    async def ask(self, event: str, *arguments: Any) -> Any:
        """Send an event and wait for its ack."""
        return (await self.wait_for("3", await self.emit(event, *arguments))).data[0]

    async def until_closed(self, timeout: float = 10) -> list[str | bytes]:
        """Return all frames received until the connection is closed."""
        rest: list[str | bytes] = []
        async with asyncio.timeout(timeout):
            while (frame := await self.receive(timeout)) is not None:
                rest.append(frame)
        return rest


@dataclass
class Polling:
    """One polling connection to a node."""

    url: str
    sid: str
    http: aiohttp.ClientSession

    @classmethod
    async def open(cls, url: str, http: aiohttp.ClientSession) -> Self:
        """Connect up to Engine.IO's open packet."""
        async with http.get(url + HANDSHAKE + "polling") as answer:
            opened = json.loads((await answer.text())[1:])
        return cls(f"{url}{HANDSHAKE}polling&sid={opened['sid']}", opened["sid"], http)

    async def poll(self) -> tuple[int, str]:
        """Poll once; return status and text."""
        async with self.http.get(self.url) as answer:
            return answer.status, await answer.text()

    async def until(self, text: str, timeout: float = 10) -> str:
        """Poll until a payload contains `text`; return that payload."""
        async with asyncio.timeout(timeout):
            while True:
                status, payload = await self.poll()
                assert status == 200, payload
                if text in payload:
                    return payload

    async def rest(self, timeout: float = 10) -> str:
        """Return everything received until the server no longer knows the connection."""
        rest = ""
        async with asyncio.timeout(timeout):
            while (answer := await self.poll())[0] == 200:
                rest += answer[1]
        return rest

    async def send(self, payload: Any) -> int:
        """Post a payload; return the status."""
        async with self.http.post(self.url, data=payload) as answer:
            return answer.status
