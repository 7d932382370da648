"""All parts of python-engineio and python-socketio that the engine relies on; no other module imports them.

Written for the versions in `WRITTEN_FOR`; review it when they are raised. Each class documents what it relies on.
tests/unit/test_engine_versions.py checks versions and names, tests/test_architecture.py that no other module
imports the libraries. docs/architecture.md lists the parts of the libraries that are still used.

`SocketIOPacket.deconstruct_binary` extracts attachments from data. `websocket_mask(mask, data)` is compiled code
that changes a bytearray in place. `hand_over` of aiohttp's HTTP connection is in
auth/http/edge/aiohttp_private.py.
"""

from typing import Any

from aiohttp._websocket.helpers import websocket_mask
from engineio import AsyncServer as EngineIOServer
from engineio.async_socket import AsyncSocket
from engineio.packet import Packet
from socketio import AsyncManager
from socketio import AsyncServer as SocketIOServer
from socketio.packet import Packet as SocketIOPacket

__all__ = [
    "EngineFrame",
    "EngineSocketFrame",
    "Packet",
    "RoomsFrame",
    "SocketFrame",
    "SocketIOPacket",
    "websocket_mask",
]

# Distribution -> the version whose source was reviewed.
WRITTEN_FOR = {"aiohttp": "3.14", "python-engineio": "4.15.1", "python-socketio": "5.18.1"}


class EngineFrame(EngineIOServer):  # type: ignore[misc] # the library has no types
    """python-engineio's server: its options, `handlers`, `sockets` and public calls.

    Relied on: `create_queue` is called by `BaseSocket.__init__`, and only overridden methods use its result;
    `AsyncServer` uses sockets only through `send` and `close`, and looks them up with `_get_socket`.
    """

    def create_queue(self, *_: Any, **__: Any) -> None:
        """Create no queue: a connection writes to its transport's buffer."""

    def socket_of(self, socket_id: str) -> Any:
        """The open connection of that id. Raises `KeyError`."""
        raise NotImplementedError

    def _get_socket(self, socket_id: str) -> Any:
        return self.socket_of(socket_id)


class EngineSocketFrame(AsyncSocket):  # type: ignore[misc] # the library has no types
    """python-engineio's connection: its `sid`, its state and `session`.

    Relied on: `BaseSocket.__init__` takes a server and an id, and starts no task.
    """


class RoomsFrame(AsyncManager):  # type: ignore[misc] # the library has no types
    """python-socketio's manager; every method that the server calls is overridden.

    Relied on: the server sets `server`.
    """


class SocketFrame(SocketIOServer):  # type: ignore[misc] # the library has no types
    """python-socketio's server over `engine_class`: its options, `eio`, `manager`, `namespaces` and public calls.

    Relied on: `_engineio_server_class` returns the class of `eio`; `emit`, `enter_room`, `leave_room`,
    `close_room` and `rooms` call the manager's methods of the same names; events of `eio` reach only the handlers
    registered last with `eio.on`.
    """

    engine_class: type[EngineFrame]

    def _engineio_server_class(self) -> type[EngineFrame]:
        return self.engine_class
