"""A byte-level WebSocket client: sends arbitrary frames, and reads all frames, including control frames."""

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from support.raw_socket import HANDSHAKE, Packet

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = True, length: int | None = None
) -> bytes:
    """Build a client frame. `length`: the length stated in its header, if it is to be wrong."""
    claimed = len(payload) if length is None else length
    first, flag = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0
    if claimed < 126:
        head = bytes((first, flag | claimed))
    elif claimed < 1 << 16:
        head = struct.pack(">BBH", first, flag | 126, claimed)
    else:
        head = struct.pack(">BBQ", first, flag | 127, claimed)
    if not mask:
        return head + payload
    key = os.urandom(4)
    whole = int.from_bytes(payload) ^ int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)])
    return head + key + whole.to_bytes(len(payload))


@dataclass
class Wire:
    """One WebSocket. `said`: the head of the upgrade response. Answers WebSocket and Engine.IO pings."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    said: str
    opened: Any = None
    closed_with: int | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        greeted: bool = True,
    ) -> AsyncIterator[Self]:
        """Upgrade and, unless `greeted` is false, read Engine.IO's open packet into `opened`."""
        wire = await cls._dial(url, headers or {}, receive_buffer)
        try:
            if greeted:
                first = await wire.message()
                assert isinstance(first, str), first
                assert first.startswith('0{"sid"'), first
                wire.opened = json.loads(first[1:])
            yield wire
        finally:
            wire.writer.transport.abort()

    @classmethod
    async def _dial(cls, url: str, headers: Mapping[str, str], receive_buffer: int | None) -> Self:
        parts = urlsplit(url)
        made = socket.socket()
        made.setblocking(False)
        if receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(made, (parts.hostname, parts.port))
        # A small read-ahead limit: with `receive_buffer`, the server's writes soon block.
        reader, writer = await asyncio.open_connection(sock=made, limit=receive_buffer or 1 << 16)
        lines = {
            "Host": parts.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET {HANDSHAKE}websocket HTTP/1.1\r\n{head}\r\n".encode())
        said = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
        return cls(reader, writer, said)

    @property
    def port(self) -> int:
        """Our port, which identifies the connection in the kernel's tables."""
        return int(self.writer.get_extra_info("sockname")[1])

    def write(self, data: bytes) -> None:
        """Send raw bytes; a closed connection is not an error."""
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    def send(self, message: str | bytes) -> None:
        """Send a message in one frame."""
        text = isinstance(message, str)
        self.write(frame(TEXT if text else BINARY, message.encode() if isinstance(message, str) else message))

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next frame; None if the connection is closed."""
        try:
            first, length = await self.reader.readexactly(2)
            assert not length & 0x80, "a server's frame is masked"
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        assert first & 0xF0 == 0x80, "a server's frame is in pieces, or compressed"
        return first & 0x0F, payload

    async def message(self, timeout: float = 10) -> str | bytes | None:
        """Return the next message that is not a ping; None on close, with the code in `closed_with`."""
        async with asyncio.timeout(timeout):
            while (found := await self.read()) is not None:
                opcode, payload = found
                if opcode == PING:
                    self.write(frame(PONG, payload))
                elif opcode == CLOSE:
                    self.closed_with = struct.unpack(">H", payload[:2])[0] if payload else 1005
                    self.write(frame(CLOSE, payload[:2]))
                    return None
                elif opcode == TEXT and payload == b"2":
                    self.send("3")
                elif opcode in (TEXT, BINARY):
                    return payload.decode() if opcode == TEXT else payload
        return None

    async def packet(self, timeout: float = 10) -> Packet | None:
        """Return the next Socket.IO packet; None if the connection is closed."""
        message = await self.message(timeout)
        return Packet.read(message[1:]) if isinstance(message, str) and message.startswith("4") else None

    async def connect(self, auth: Any = None) -> Packet:
        """Perform the Socket.IO handshake; the answer is of kind 0, or of kind 4 if it is rejected."""
        self.send("40" + ("" if auth is None else json.dumps(auth)))
        answer = await self.packet()
        assert answer is not None, "closed instead of answered"
        return answer

    async def wait_for(self, kind: str, number: int | None = None, *, event: str | None = None) -> Packet:
        """Return the next packet of a kind, with the given id or event; skip earlier ones."""
        while True:
            packet = await self.packet()
            assert packet is not None, f"closed before {kind}{number or ''} came, with {self.closed_with}"
            if packet.kind == kind and number in (None, packet.id) and event in (None, (packet.data or [None])[0]):
                return packet

    async def ask(self, event: str, *arguments: Any, number: int = 1) -> Any:
        """Send an event and wait for its ack."""
        self.send(f"42{number}{json.dumps([event, *arguments])}")
        return (await self.wait_for("3", number)).data[0]

    async def until_closed(self, timeout: float = 10) -> int | None:
        """Read until the connection is closed; return the code of its close frame."""
        async with asyncio.timeout(timeout):
            while await self.message(timeout) is not None:
                pass
        return self.closed_with
