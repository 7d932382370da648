"""Engine.IO's pings: which of them a pong answers, and what that shows."""

from types import SimpleNamespace
from typing import Any

import pytest

from auth.platform.metrics import Metrics
from realtime.engine.connection import EngineSocket
from realtime.engine.timers import Timers
from realtime.engine.traffic_budget import TrafficBudget


class Host:
    """Stands for the server of a connection; its heartbeat is due when the test says so."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.metrics = Metrics()
        self.allowance = TrafficBudget()
        self.ping_interval, self.ping_timeout = 3600.0, 3600.0
        self.reason = SimpleNamespace(
            CLIENT_DISCONNECT="c", PING_TIMEOUT="p", TRANSPORT_ERROR="t", SERVER_DISCONNECT="s"
        )

    def create_queue(self) -> None:
        """Of the library's, of no use here."""

    def forget(self, socket: EngineSocket, reason: str) -> None:
        pass

    def keep_final_packets(self, socket: EngineSocket, seconds: float) -> None:
        pass


@pytest.fixture
async def connection() -> Any:
    host: Any = Host()
    made = EngineSocket(host, "engine")
    made.by_polling()
    yield made
    made.end("over")
    host.timers.close()


async def said(connection: EngineSocket) -> bytes:
    nobody: Any = None
    return await connection.polled(nobody)


async def test_a_pong_answers_the_first_ping_that_waits(connection: Any) -> None:
    seen: list[str] = []
    connection._ping()
    connection.send_text(b"4an ack")
    connection.when_received(lambda: seen.append("first"))
    connection.send_text(b"4another")
    connection.when_received(lambda: seen.append("second"))
    assert (await said(connection)).split(b"\x1e") == [b"2", b"4an ack", b"2", b"4another", b"2"]
    connection.received("3")
    assert seen == [], "this was the heartbeat's, which was sent before the ack"
    connection.received("3")
    assert seen == ["first"]
    connection.received("3")
    assert seen == ["first", "second"]
    connection.received("3")
    assert seen == ["first", "second"]


async def test_a_pong_that_nobody_asked_for_is_kept_for_no_later_ping(connection: Any) -> None:
    seen: list[str] = []
    for _ in range(5):
        connection.received("3")
    connection.when_received(lambda: seen.append("received"))
    assert seen == []


async def test_a_pong_to_such_a_ping_is_no_heartbeat(connection: Any) -> None:
    due = connection._heartbeat
    connection.when_received(lambda: None)
    connection.received("3")
    assert connection._heartbeat is due
    connection._ping()
    connection.received("3")
    assert connection._heartbeat is not due


async def test_who_is_gone_has_received_nothing(connection: Any) -> None:
    seen: list[str] = []
    connection.when_received(lambda: seen.append("received"))
    connection.end("gone")
    connection.received("3")
    connection.when_received(lambda: seen.append("later"))
    assert seen == []
