"""Events that an application's backend sends to one user at a time, among all the other sockets."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from bench.accounting import Clocks
from bench.client import ANSWER_SECONDS, LoadError, Socket
from bench.load import Round, drive, gather, measured, now
from bench.measures import per_unit
from bench.peers import Login, Server
from bench.socket_scenarios import MESSAGE, TEXT, connect_all, let_in
from bench.web_client import Connection

SCENARIOS = ("emit", "emit_durable", "emit_durable_load")
EMIT = "/api/server/emit"
AT_ONCE = 16
EMITS = 2000
LOAD_PER_SECOND = 1000
LOAD_SECONDS = 10
# Enough that a request is sent when it is due, although others are waiting.
LOAD_AT_ONCE = 64


async def emits(turn: Round) -> None:
    """Measure all scenarios on one server, and its backend if that is another process."""
    stand = turn.stand
    logins = await stand.seed(turn.options.sockets, 1)
    server = await stand.start()
    await let_in(server, logins[0])
    api = await stand.start_backend()
    connections = await gather(Connection.open(api.host, api.port) for _ in range(LOAD_AT_ONCE))
    backend = Backend(await stand.issue_key(), connections)
    live = await connect_all(server, [login.access_token for login in logins])
    backend.receivers.extend(zip([socket for socket, _ in live], logins, strict=True))
    try:
        for scenario, durable in (("emit", False), ("emit_durable", True)):
            if turn.wants(scenario):
                await _series(turn, scenario, server, backend.emitting(durable=durable))
        if turn.wants("emit_durable_load"):
            await _load(turn, backend.emitting(durable=True))
    finally:
        for connection in connections:
            connection.close()
        for socket, _ in live:
            socket.hang_up()


@dataclass(frozen=True, slots=True)
class Emit:
    """An event to be sent. `due`: when, if not at once; its wait counts from then on."""

    number: int
    due: float | None = None


class Backend:
    """Calls the server API with a key, over keep-alive connections."""

    def __init__(self, key: str, connections: Sequence[Connection]) -> None:
        self._key = key
        self.connections = connections
        self._free = deque(connections)
        # Each has at most one event on its way.
        self.receivers: deque[tuple[Socket, Login]] = deque()

    def emitting(self, *, durable: bool) -> Callable[[Emit], Awaitable[float]]:
        """Return what sends an event to one user, and returns the seconds until the user's socket had it."""

        async def emit(job: Emit) -> float:
            if job.due is not None:
                await asyncio.sleep(max(job.due - now(), 0))
            socket, login = self.receivers.popleft()
            connection = self._free.popleft()
            body = {
                "to": {"userId": login.user_id},
                "event": "bench:message",
                "data": {"n": job.number, "text": TEXT},
                "durable": durable,
            }
            begun = job.due or now()
            heard = _next_message(socket)
            answer = (await connection.request("POST", EMIT, token=self._key, body=body)).data
            try:
                at, data = await asyncio.wait_for(heard, ANSWER_SECONDS)
            except TimeoutError:
                raise LoadError(f"emit {job.number} did not reach its socket") from None
            if data["n"] != job.number or data.get("eventId") != answer.get("eventId"):
                raise LoadError(f"emit {job.number} reached its socket as {data}")
            self.receivers.append((socket, login))
            self._free.append(connection)
            return at - begun

        return emit


def _next_message(socket: Socket) -> asyncio.Future[tuple[float, dict[str, object]]]:
    heard: asyncio.Future[tuple[float, dict[str, object]]] = asyncio.get_running_loop().create_future()

    def on_event(event: bytes) -> None:
        if event.startswith(MESSAGE) and not heard.done():
            heard.set_result((now(), orjson.loads(event)[1]))

    socket.on_event = on_event
    return heard


async def _series(turn: Round, scenario: str, server: Server, emit: Callable[[Emit], Awaitable[float]]) -> None:
    jobs = [Emit(number) for number in range(turn.options.units(EMITS))]
    await drive(jobs, emit, at_once=AT_ONCE)
    of_sockets, begun = Clocks([server.child.pid]), now()

    async def series() -> tuple[list[float], float]:
        return await drive(jobs, emit, at_once=AT_ONCE), len(jobs) / (now() - begun)

    used = await measured(turn.stand, series())
    waited, per_second = used.result
    node = per_unit(of_sockets.used(), len(jobs))
    turn.record_cpu(scenario, used, waited, per_second=per_second, node_of_sockets=node)


async def _load(turn: Round, emit: Callable[[Emit], Awaitable[float]]) -> None:
    """Send as many events as are due, whether or not the server keeps up."""
    count = turn.options.units(LOAD_PER_SECOND * LOAD_SECONDS)
    await drive(map(Emit, range(LOAD_PER_SECOND)), emit, at_once=LOAD_AT_ONCE)
    begun = now()

    async def load() -> tuple[list[float], float]:
        jobs = (Emit(number, begun + number / LOAD_PER_SECOND) for number in range(count))
        return await drive(jobs, emit, at_once=LOAD_AT_ONCE), count / (now() - begun)

    used = await measured(turn.stand, load())
    waited, per_second = used.result
    turn.record_p99("emit_durable_load", used, waited, per_second=per_second)
