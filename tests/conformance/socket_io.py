"""Socket.IO clients on the wire: as far as the handshake, no further."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from conformance.wire import Polling, WebSocket, Wire


def packet(kind: int, namespace: str = "/", data: Any = None, number: int | str = "") -> str:
    """A Socket.IO packet without attachments, as an Engine.IO message."""
    place = "" if namespace == "/" else namespace + ","
    return f"4{kind}{place}{number}" + (
        "" if data is None else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    )


async def greeted(socket: WebSocket, namespace: str, auth: Any = None) -> str:
    """Connect to a namespace and read the two packets that answer; the socket's id there."""
    await socket.send(packet(0, namespace, auth))
    answer, activation = await socket.messages(2)
    assert isinstance(answer, str), answer
    head = packet(0, namespace)
    assert answer.startswith(head), answer
    assert activation == packet(2, namespace, ["auth", auth or {}])
    handshake = json.loads(answer[len(head) :])
    assert list(handshake) == ["sid"]
    assert isinstance(handshake["sid"], str)
    return str(handshake["sid"])


@asynccontextmanager
async def connected(wire: Wire, *namespaces: str) -> AsyncIterator[WebSocket]:
    """A client by WebSocket, in these namespaces."""
    async with wire.connection() as socket:
        for namespace in namespaces:
            await greeted(socket, namespace)
        yield socket


async def post_connect(wire: Wire, namespace: str = "/") -> Polling:
    """A client by long polling, in a namespace."""
    polling = await wire.poll_in()
    assert (await polling.post(packet(0, namespace))).text == "ok"
    answer, activation = await polling.messages(2)
    assert answer.startswith(packet(0, namespace) + '{"sid":')
    assert activation == packet(2, namespace, ["auth", {}])
    return polling


async def events(socket: WebSocket) -> list[str | bytes]:
    """Everything but pings, which are answered, until the server closes."""
    heard: list[str | bytes] = []
    while (frame := await socket.message()) is not None:
        heard.append(frame)
    return heard
