"""The engine rests on private parts of three libraries: what to look at before a pin is raised."""

from importlib.metadata import version

import pytest
from aiohttp import web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from engineio.async_server import AsyncServer as EngineServer
from engineio.async_socket import AsyncSocket
from socketio.async_manager import AsyncManager
from socketio.async_server import AsyncServer

from realtime.engine import WRITTEN_FOR

WHAT_TO_LOOK_AT = {
    "aiohttp": """
        realtime/engine/websocket.py: `WebSocketReader` feeds a `WebSocketDataQueue` by `feed_data(message, size)`
        and `set_exception`, and stalls when `_size > _limit`; `RequestHandler.set_parser` hands over what came
        behind an upgrade; `RequestHandler.connection_lost` closes `self.transport` unless it is None;
        `finish_response` calls nothing on a response but `prepare` and `write_eof`.
        auth/http/runner.py: see its own docstring; `RequestHandler.connection_made` does nothing that `Protocol`'s
        leaves out but for the reasons told there; `start` may begin when messages wait already; `_upgraded` is set
        by `data_received` behind the upgrade's message, and what comes in behind it goes to `set_parser`'s.
    """,
    "python-engineio": """
        realtime/engine/server.py and connection.py: the options of `BaseServer.__init__`, `create_queue` called
        by `BaseSocket.__init__`, the names of `handlers`, `reason`, `sockets`, and that no method of `AsyncServer`
        that is not overridden touches a socket but by `send` and `close`.
    """,
    "python-socketio": """
        realtime/engine/sockets.py and rooms.py: `BaseServer.__init__` registers `_handle_eio_connect`,
        `_handle_eio_message` and `_handle_eio_disconnect`; `AsyncServer.emit`, `enter_room`, `leave_room`,
        `close_room` and `rooms` go through the manager's methods of the same names.
    """,
}


@pytest.mark.parametrize("library", WRITTEN_FOR)
def test_the_libraries_are_those_the_engine_was_written_for(library: str) -> None:
    installed = version(library)
    assert installed == WRITTEN_FOR[library] or installed.startswith(WRITTEN_FOR[library] + "."), (
        f"{library} {installed} is installed, the engine was written for {WRITTEN_FOR[library]}. "
        f"Look at these, run all tests, then change WRITTEN_FOR: {WHAT_TO_LOOK_AT[library]}"
    )


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (web.RequestHandler, ["connection_made", "start", "set_parser", "connection_lost", "finish_response"]),
        (WebSocketReader, ["feed_data", "feed_eof"]),
        (WebSocketDataQueue, ["feed_data", "feed_eof", "set_exception"]),
        (EngineServer, ["send", "send_packet", "disconnect", "start_background_task"]),
        (AsyncSocket, ["send", "close"]),
        (AsyncServer, ["emit", "enter_room", "leave_room", "close_room", "rooms"]),
        (AsyncManager, ["emit", "get_participants", "is_connected", "get_rooms"]),
    ],
)
def test_what_the_engine_overrides_or_calls_is_still_there(owner: type, names: list[str]) -> None:
    assert [name for name in names if not callable(getattr(owner, name, None))] == []
