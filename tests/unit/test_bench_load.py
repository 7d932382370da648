"""The load generator against real servers in this process: its sockets, its requests, and its accounting."""

import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from bench.accounting import cpu_seconds, memory, thread_seconds
from bench.client import LoadError, Socket, connect
from bench.load import drive
from bench.web_client import Connection

TOKEN = "good"


def make_app() -> web.Application:
    sio = socketio.AsyncServer(async_mode="aiohttp")
    app = web.Application()
    sio.attach(app)

    async def on_connect(sid: str, environ: Any, auth: dict[str, Any]) -> None:
        if auth["token"] != TOKEN:
            raise socketio.exceptions.ConnectionRefusedError("bad token")
        sio.start_background_task(sio.emit, "ready", {}, to=sid)

    async def on_disconnect(sid: str, reason: str) -> None:
        return None

    async def echo(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        await sio.emit("echoed", data, to=sid)
        return {"ok": data != {"fail": 1}, "code": "failed"}

    async def leave(sid: str, data: dict[str, Any]) -> None:
        async def on_ack(*_: Any) -> None:
            await sio.disconnect(sid)

        await sio.emit("session-revoked", {}, to=sid, callback=on_ack)
        await sio.sleep(1)  # the ack of this event would come after the socket is gone

    sio.on("connect", on_connect)
    sio.on("disconnect", on_disconnect)
    sio.on("echo", echo)
    sio.on("leave", leave)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        seen = {"method": request.method, "token": request.headers.get("Authorization"), "body": body}
        return web.json_response({"data": seen}, status=int(request.query.get("status", 200)))

    app.router.add_route("*", "/answer", answer)
    return app


@pytest.fixture
async def server() -> AsyncIterator[BaseTestServer]:
    async with TestServer(make_app()) as running:
        yield running


@pytest.fixture
async def live(server: TestServer) -> AsyncIterator[Socket]:
    socket, seconds = await connect("127.0.0.1", server.port or 0, TOKEN)
    assert seconds > 0
    yield socket
    socket.hang_up()
    await socket.closed


async def test_a_socket_hears_events_and_gets_its_acks(live: Socket) -> None:
    heard: list[bytes] = []
    live.on_event = heard.append
    for number in range(3):
        await live.ask("echo", {"number": number, "text": "é" * 40_000})
    assert [event[:10] for event in heard] == [b'["echoed",'] * 3


async def test_a_refused_event_is_an_error(live: Socket) -> None:
    with pytest.raises(LoadError, match="failed"):
        await live.ask("echo", {"fail": 1})


async def test_a_refused_handshake_is_an_error(server: TestServer) -> None:
    with pytest.raises(LoadError, match="bad token"):
        await connect("127.0.0.1", server.port or 0, "wrong")


async def test_a_revocation_is_acknowledged_and_the_close_noticed(live: Socket) -> None:
    waiting = live.emit("leave", {})
    assert await live.closed <= time.perf_counter()
    with pytest.raises(LoadError, match="closed"):
        (await waiting).check()


async def test_one_connection_serves_many_requests(server: TestServer) -> None:
    connection = await Connection.open("127.0.0.1", server.port or 0)
    answers = [await connection.request("POST", "/answer", token="t", body={"n": n}) for n in range(3)]
    assert [answer.data["body"] for answer in answers] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert answers[0].data["token"] == "Bearer t"
    assert answers[0].seconds > 0
    with pytest.raises(LoadError, match="HTTP 401"):
        (await connection.request("GET", "/answer?status=401")).data  # noqa: B018 - raises
    connection.close()


async def test_a_server_that_hangs_up_is_an_error_at_once() -> None:
    async with TestServer(make_app()) as server:
        connection = await Connection.open("127.0.0.1", server.port or 0)
        await connection.request("GET", "/answer")
    with pytest.raises(LoadError, match="the server closed the connection"):
        await connection.request("GET", "/answer")


async def test_every_job_is_done_once_and_no_more_at_a_time_than_asked() -> None:
    inside, most = 0, 0

    async def act(job: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await Pause()
        inside -= 1
        return job

    assert sorted(await drive(range(20), act, at_once=4)) == list(range(20))
    assert most == 4


async def test_the_first_failure_ends_all_of_it() -> None:
    begun: list[int] = []

    async def act(job: int) -> None:
        begun.append(job)
        await Pause()
        if job == 3:
            raise LoadError("no")

    with pytest.raises(LoadError):
        await drive(range(1000), act, at_once=2)
    assert len(begun) < 20


class Pause:
    """One turn of the event loop."""

    def __await__(self) -> Any:
        yield


def test_cpu_time_counts_threads_that_have_ended() -> None:
    before, own = cpu_seconds(os.getpid()), thread_seconds(os.getpid())
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    used = cpu_seconds(os.getpid()) - before
    assert used >= 0.05
    assert thread_seconds(os.getpid()) - own < used


def burn() -> None:
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass


def test_memory_is_read_in_bytes() -> None:
    held = memory(os.getpid())
    assert held.rss >= held.pss >= held.uss > 1_000_000


def test_the_account_of_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(OSError):
        cpu_seconds(4_000_000)
