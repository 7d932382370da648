"""The servers under conformance test.

By default `tests/conformance_server.py`. `VIGIL_CONFORMANCE_COMMAND` can name another program that takes the same
options (`--port`, `--ping-interval`, `--ping-timeout`, `--engine-only`), behaves as that file describes and prints
`listening on http://…`. The tests themselves were verified that way against the reference implementation.
"""

from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web
from conformance.here import Gate, start_here
from conformance.servers import Server
from conformance.wire import Wire

from auth.platform.metrics import Metrics
from realtime.engine.emitter import Emitter
from realtime.engine.sockets import SocketServer

# Ping interval and timeout: of the official test suites, with the timeout of production, and of production.
QUICK, STEADY, PATIENT = (0.3, 0.2), (0.3, 20.0), (25.0, 20.0)


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., str]]:
    """Starts a server per set of options and returns its URL. Afterwards asserts that none logged a traceback."""
    running: dict[tuple[str, ...], Server] = {}

    def start_one(interval: float, timeout: float, *more: str) -> str:
        options = ("--port", "0", "--ping-interval", str(interval), "--ping-timeout", str(timeout), *more)
        if options not in running:
            running[options] = Server(*options)
        return running[options].url

    yield start_one
    output = "".join([server.stop() for server in running.values()])
    assert "Traceback" not in output, output


@pytest.fixture
def engine(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """An Engine.IO echo server with a ping interval of 0.3 s and a timeout of 0.2 s."""
    return Wire(http, start(*QUICK, "--engine-only"), "/engine.io/", *QUICK)


@pytest.fixture
def steady_engine(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """An Engine.IO echo server with a ping interval of 0.3 s, for clients that must be able to answer in time."""
    return Wire(http, start(*STEADY, "--engine-only"), "/engine.io/", *STEADY)


@pytest.fixture
def patient_engine(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """An Engine.IO echo server with production pings, so that no connection ends by ping timeout."""
    return Wire(http, start(*PATIENT, "--engine-only"), "/engine.io/", *PATIENT)


@pytest.fixture
def steady(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """A Socket.IO server with a ping interval of 0.3 s, for clients that must be able to answer in time."""
    return Wire(http, start(*STEADY), "/socket.io/", *STEADY)


@pytest.fixture
def patient(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """A Socket.IO server with production pings, so that no connection ends by ping timeout."""
    return Wire(http, start(*PATIENT), "/socket.io/", *PATIENT)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def server(gate: Gate, unused_tcp_port: int) -> AsyncIterator[SocketServer]:
    """Our server in this process; `gate` accepts all connections."""
    server, app = SocketServer(gate, Emitter(), metrics=Metrics()), web.Application()
    server.attach(app)
    runner = await start_here(app, unused_tcp_port)
    yield server
    await server.shutdown()
    await runner.cleanup()
