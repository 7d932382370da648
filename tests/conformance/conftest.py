"""The servers that the conformance tests speak to.

Ours is `tests/conformance_server.py`. The same tests hold for any other: `VIGIL_CONFORMANCE_COMMAND` names a
program that takes the same options (`--port`, `--ping-interval`, `--ping-timeout`, `--engine-only`), does what
that file describes and prints `listening on http://…`. So the tests themselves were tested, against the reference
implementation.
"""

from collections.abc import Callable, Iterator

import aiohttp
import pytest
from conformance.servers import Server
from conformance.wire import Wire

# As the official suites have it, and as production does.
QUICK, PATIENT = (0.3, 0.2), (25.0, 20.0)


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., str]]:
    """Starts servers, each once; the URL. Whatever they are sent, nothing is raised through them."""
    running: dict[tuple[str, ...], Server] = {}

    def start_one(interval: float, timeout: float, *more: str) -> str:
        options = ("--port", "0", "--ping-interval", str(interval), "--ping-timeout", str(timeout), *more)
        if options not in running:
            running[options] = Server(*options)
        return running[options].url

    yield start_one
    said = "".join([server.stop() for server in running.values()])
    assert "Traceback" not in said, said


@pytest.fixture
def engine(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """Engine.IO alone, an echo; pings every 0.3 s, 0.2 s to answer."""
    return Wire(http, start(*QUICK, "--engine-only"), "/engine.io/", *QUICK)


@pytest.fixture
def patient_engine(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """Engine.IO alone, an echo, with the pings of production: what ends a connection here is no ping timeout."""
    return Wire(http, start(*PATIENT, "--engine-only"), "/engine.io/", *PATIENT)


@pytest.fixture
def quick(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """Socket.IO; pings every 0.3 s, 0.2 s to answer."""
    return Wire(http, start(*QUICK), "/socket.io/", *QUICK)


@pytest.fixture
def patient(start: Callable[..., str], http: aiohttp.ClientSession) -> Wire:
    """Socket.IO with the pings of production: what ends a connection here is no ping timeout."""
    return Wire(http, start(*PATIENT), "/socket.io/", *PATIENT)
