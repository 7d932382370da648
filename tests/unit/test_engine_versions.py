"""The edge and the engine rest on private parts of three libraries: what to look at before a pin is raised.

Their use stands in two modules, whose docstrings tell what is relied on; this test watches that it is still there.
"""

import inspect
from importlib.metadata import version

import engineio
import pytest
import socketio
from aiohttp import web
from aiohttp._websocket import helpers
from aiohttp.web_protocol import _ErrInfo
from engineio.async_socket import AsyncSocket

from auth.http.edge import aiohttp_private
from realtime.engine import library_private

PLACES = {
    (library, expected): module
    for module in (aiohttp_private, library_private)
    for library, expected in module.WRITTEN_FOR.items()
}
CONNECTION_STATE = [
    "_buffer_paused", "_current_request", "_keepalive_timeout", "_loop", "_manager", "_message_tail", "_messages",
    "_reading_paused", "_request_count", "_task_handler", "_upgraded", "_waiter", "transport",
]  # fmt: skip


@pytest.mark.parametrize(("library", "expected"), PLACES)
def test_the_libraries_are_those_that_were_read(library: str, expected: str) -> None:
    installed = version(library)
    place = PLACES[library, expected].__name__
    assert installed == expected or installed.startswith(expected + "."), (
        f"{library} {installed} is installed, {place} was written for {expected}. "
        "Look at what its docstrings rely on, run all tests, then change WRITTEN_FOR."
    )


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (web.RequestHandler, ["connection_made", "connection_lost", "data_received", "finish_response"]),
        (web.RequestHandler, ["handle_error", "start", "_resume_transport_reading", "_pause_transport_reading"]),
        (web.BaseRequest, ["_cancel"]),
        (web.Server, ["__call__", "connection_made"]),
        (web.AppRunner, ["_make_server"]),
        (engineio.AsyncServer, ["send", "send_packet", "disconnect", "start_background_task", "on"]),
        (engineio.AsyncServer, ["create_queue", "_get_socket"]),
        (AsyncSocket, ["send", "close"]),
        (socketio.AsyncServer, ["emit", "enter_room", "leave_room", "close_room", "rooms"]),
        (socketio.AsyncServer, ["_engineio_server_class"]),
        (socketio.AsyncManager, ["emit", "get_participants", "is_connected", "get_rooms"]),
    ],
)
def test_what_is_overridden_or_called_is_still_there(owner: type, names: list[str]) -> None:
    assert [name for name in names if not callable(getattr(owner, name, None))] == []


def test_a_connection_of_aiohttp_keeps_its_state_under_the_names_that_are_read() -> None:
    source = inspect.getsource(web.RequestHandler) + inspect.getsource(web.RequestHandler.__mro__[1])
    assert [name for name in CONNECTION_STATE if f"self.{name}" not in source] == []
    assert _ErrInfo(400, ValueError(), "message").message == "message"


def test_a_server_of_aiohttp_makes_connections_out_of_its_loop_and_options() -> None:
    source = inspect.getsource(web.Server.__call__)
    assert "RequestHandler(self, loop=self._loop, **self._kwargs)" in source


def test_payloads_are_unmasked_by_compiled_code() -> None:
    payload = bytearray(b"\x01\x02\x03\x04\x05")
    library_private.websocket_mask(b"\xff\x00\xff\x00", payload)
    assert payload == b"\xfe\x02\xfc\x04\xfa"
    assert library_private.websocket_mask is not helpers._websocket_mask_python
