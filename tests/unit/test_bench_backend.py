"""The bench as an application's backend, and as the receiver of webhooks, against real servers in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from bench.backend_scenarios import EMIT, Backend, Emit
from bench.client import LoadError, connect
from bench.load import now
from bench.peers import NODE_FOLDER, Login, node_peer, vigil_peer
from bench.web_client import Connection
from bench.webhook_scenarios import Endpoint

KEY = "vsk_1"


class ServerApi:
    """A server API with one user. `logged`: the id that a durable event has in the log; the answer says 7."""

    def __init__(self) -> None:
        self.logged = 7
        self.bodies: list[dict[str, Any]] = []
        self.app = web.Application()
        self._sio = socketio.AsyncServer(async_mode="aiohttp")
        self._sio.on("connect", self._enter)
        self._sio.on("disconnect", self._leave)
        self._sio.attach(self.app)
        self.app.router.add_post(EMIT, self._emit)

    async def _enter(self, sid: str, environ: Any, auth: dict[str, Any]) -> None:
        await self._sio.enter_room(sid, "the user")
        self._sio.start_background_task(self._sio.emit, "ready", {}, to=sid)

    async def _leave(self, sid: str, reason: str) -> None:
        return None

    async def _emit(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.headers["Authorization"] != f"Bearer {KEY}":
            return web.json_response({}, status=401)
        self.bodies.append(body)
        sent = {"eventId": self.logged} if body["durable"] else {}
        await self._sio.emit("bench:other", {}, room=body["to"]["userId"])
        await self._sio.emit(body["event"], body["data"] | sent, room=body["to"]["userId"])
        return web.json_response({"data": {"eventId": 7} if body["durable"] else {}})


@pytest.fixture
def api() -> ServerApi:
    return ServerApi()


@pytest.fixture
async def backend(api: ServerApi) -> AsyncIterator[Backend]:
    async with TestServer(api.app) as running:
        port = running.port or 0
        socket, _ = await connect("127.0.0.1", port, "token")
        connection = await Connection.open("127.0.0.1", port)
        backend = Backend(KEY, [connection])
        backend.receivers.append((socket, Login("the user", "", "", "", "")))
        yield backend
        connection.close()
        socket.hang_up()
        await socket.closed


@pytest.mark.parametrize("durable", [False, True])
async def test_an_emit_is_done_when_its_user_has_the_event(
    api: ServerApi, backend: Backend, durable: bool
) -> None:
    emit = backend.emitting(durable=durable)
    assert [await emit(Emit(number)) > 0 for number in range(3)] == [True] * 3
    assert [body["data"]["n"] for body in api.bodies] == [0, 1, 2]


async def test_the_wait_of_an_emit_counts_from_when_it_was_due(backend: Backend) -> None:
    assert await backend.emitting(durable=False)(Emit(0, due=now() - 100)) > 100


async def test_an_event_that_is_not_the_one_in_the_log_is_an_error(api: ServerApi, backend: Backend) -> None:
    api.logged = 8
    with pytest.raises(LoadError, match="reached its socket as"):
        await backend.emitting(durable=True)(Emit(0))


async def test_a_refused_emit_is_an_error(backend: Backend) -> None:
    refused = Backend("another", list(backend.connections))
    refused.receivers = backend.receivers
    with pytest.raises(LoadError, match="HTTP 401"):
        await refused.emitting(durable=False)(Emit(0))


@asynccontextmanager
async def webhook(kind: str) -> AsyncIterator[tuple[Endpoint, Connection]]:
    endpoint = Endpoint(kind)
    listening = await asyncio.get_running_loop().create_server(endpoint.connection, "127.0.0.1", 0)
    async with listening:
        connection = await Connection.open("127.0.0.1", listening.sockets[0].getsockname()[1])
        yield endpoint, connection
        connection.close()


async def test_a_fast_endpoint_accepts_each_webhook() -> None:
    async with webhook("fast") as (_, connection):
        for number in range(3):
            assert (await connection.request("POST", "/", body={"text": "x" * 100_000, "n": number})).status == 200


async def test_a_dead_endpoint_hears_a_webhook_and_does_not_answer() -> None:
    async with webhook("dead") as (endpoint, connection):
        asking = asyncio.create_task(connection.request("POST", "/", body={}))
        await endpoint.called.wait()
        assert not asking.done()
        asking.cancel()


def test_both_peers_issue_keys_and_only_the_node_peer_has_a_backend_beside_its_nodes() -> None:
    vigil, node = vigil_peer(), node_peer()
    assert vigil.issue_key[: len(vigil.serve)] == vigil.serve
    assert not vigil.backend
    assert all((NODE_FOLDER / command[1]).is_file() for command in (node.issue_key, node.backend))
    assert Path(vigil.serve[1]).is_file()
