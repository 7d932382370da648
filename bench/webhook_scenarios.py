"""What facts and webhooks cost: the act that causes a fact, and the process that relays it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import cast

from bench.accounting import Clocks
from bench.http_scenarios import over
from bench.load import SETTLE_SECONDS, Round, now
from bench.measures import per_unit, waits
from bench.peers import Login, Server, Stand
from bench.revocation_scenario import SESSIONS
from bench.socket_scenarios import connect_all, let_in
from bench.web_client import LENGTH, Answer, Connection

OF_WORKER = ("webhook_request", "webhook_relay")
OF_NODE = ("webhook_beside", "handshake_beside")
# Endpoints: none; one that accepts at once; one that never answers.
KINDS = ("none", "fast", "dead")
PARTS = 3
REQUESTS, WARM_REQUESTS = 400, 50
HANDSHAKES = 1000
# So that what a request costs does not depend on how many share a command to MongoDB.
AT_ONCE = 1
# Facts are there within a second, and sent then.
RELAYED_SECONDS = 3.0
# An endpoint that does not answer for five seconds, eight requests at a time, then counts as dead.
DEAD_AFTER_SECONDS = 7.0
IDLE_SECONDS = 5.0
QUIET_SHARE = 0.05
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Pair = tuple[Login, Login]


async def webhook_of_worker(turn: Round) -> None:
    """Measure with a worker process that relays facts and sends webhooks, as beside loaded nodes."""
    stage = await Stage.begin(turn, with_worker=True)
    handshake = await stage.handshakes()
    costs = await stage.requests()
    none, fast, dead = (costs[kind] for kind in KINDS)
    count = PARTS * stage.count
    added = (max(fast.server, dead.server) / none.server - 1) * 100
    turn.record("webhook_request", added, count, **_details(costs))
    turn.record(
        "webhook_relay",
        none.worker,
        count,
        fast=fast.worker,
        dead=dead.worker,
        of_a_handshake=handshake.worker,
        handshake_itself=handshake.server,
    )


async def webhook_beside_requests(turn: Round) -> None:
    """Measure with one node, which also relays its facts and sends webhooks."""
    stage = await Stage.begin(turn, with_worker=False)
    turn.record("handshake_beside", (await stage.handshakes()).server, HANDSHAKES)
    if turn.wants("webhook_beside"):
        costs = await stage.requests()
        turn.record("webhook_beside", costs["fast"].server, PARTS * stage.count, **_details(costs))


def _details(costs: dict[str, "Cost"]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind, cost in costs.items():
        p50, p99 = waits(cost.waited)
        found |= {kind: cost.server, f"{kind}_p50_ms": p50, f"{kind}_p99_ms": p99}
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU µs of one act, of the server and of its worker, and the seconds that each act took."""

    server: float
    worker: float
    waited: list[float]


class Meter:
    """CPU of a process beyond what it uses while it has nothing to do."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._idle = 0.0
        self.begin()

    async def learn(self) -> None:
        """Wait until the process has nothing to do, and measure what it uses then."""
        while await self._share(1.0) > QUIET_SHARE:
            pass
        self._idle = await self._share(IDLE_SECONDS)

    def begin(self) -> None:
        """Begin to count."""
        self._clocks, self._begun = Clocks(self._pids), now()

    def used(self) -> float:
        """CPU seconds since `begin`."""
        return self._clocks.used() - self._idle * (now() - self._begun)

    async def _share(self, seconds: float) -> float:
        self.begin()
        await asyncio.sleep(seconds)
        return self._clocks.used() / (now() - self._begun)


@dataclass
class Stage:
    """A node, and sessions to be ended. `meters`: of the node, and of its worker if there is one."""

    stand: Stand
    server: Server
    count: int
    warm: int
    arriving: list[Login]
    pairs: list[Pair]
    meters: list[Meter] = field(default_factory=list)

    @classmethod
    async def begin(cls, turn: Round, *, with_worker: bool) -> "Stage":
        """Start the node, and the worker."""
        stand, count, warm = turn.stand, turn.options.units(REQUESTS), turn.options.units(WARM_REQUESTS)
        ended = len(KINDS) * PARTS * (count + warm)
        logins = await stand.seed(2 * HANDSHAKES + ended, 2)
        pairs = list(zip(logins[::2], logins[1::2], strict=True))
        server = await stand.start(jobs=not with_worker)
        stage = cls(stand, server, count, warm, [first for first, _ in pairs[ended:]], pairs[:ended])
        pids = [server.child.pid, *([(await stand.start_worker()).pid] if with_worker else [])]
        stage.meters = [Meter([pid]) for pid in pids]
        return stage

    async def handshakes(self) -> Cost:
        """Connect sockets, which are left open: what one handshake costs."""
        await let_in(self.server, self.arriving[0])
        for part in (self.arriving[:HANDSHAKES], self.arriving[HANDSHAKES:]):
            await self._learn()
            cost = await self._cost(self._connect(part), HANDSHAKES)
        return cost

    async def requests(self) -> dict[str, Cost]:
        """End sessions, with each kind of endpoint in turn: what one request costs."""
        await self._learn()
        parts: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
        for number in range(PARTS):
            for kind in (*KINDS[number:], *KINDS[:number]):
                async with self._endpoint(kind) as endpoint:
                    await self._end_sessions(self.warm)
                    await endpoint.settled()
                    parts[kind].append(await self._cost(self._end_sessions(self.count), self.count))
        return {kind: _together(costs) for kind, costs in parts.items()}

    async def _learn(self) -> None:
        for meter in self.meters:
            await meter.learn()

    async def _cost(self, work: Awaitable[list[float]], units: int) -> Cost:
        for meter in self.meters:
            meter.begin()
        node, *workers = self.meters
        waited = await work
        await asyncio.sleep(SETTLE_SECONDS if workers else RELAYED_SECONDS)
        server = per_unit(node.used(), units)
        await asyncio.sleep(RELAYED_SECONDS if workers else 0)
        self.stand.check()
        return Cost(server, sum(per_unit(worker.used(), units) for worker in workers), waited)

    async def _connect(self, logins: Sequence[Login]) -> list[float]:
        connected = await connect_all(self.server, [login.access_token for login in logins])
        return [seconds for _, seconds in connected]

    async def _end_sessions(self, count: int) -> list[float]:
        async def end(connection: Connection, pair: Pair) -> Answer:
            asking, ended = pair
            return await connection.request("DELETE", SESSIONS + ended.session_id, token=asking.access_token)

        return await over(self.server, [self.pairs.pop() for _ in range(count)], end, at_once=AT_ONCE)

    @asynccontextmanager
    async def _endpoint(self, kind: str) -> AsyncIterator["Endpoint"]:
        endpoint = Endpoint(kind)
        if kind == "none":
            yield endpoint
            return
        listening = await asyncio.get_running_loop().create_server(endpoint.connection, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        await self.stand.vigil("webhooks", "create", f"http://127.0.0.1:{port}/", "--events", "session.ended")
        yield endpoint
        for line in (await self.stand.vigil("webhooks", "list")).splitlines():
            await self.stand.vigil("webhooks", "remove", line.split()[0])
        listening.close()


class Endpoint:
    """Where webhooks go: accepts each, or never answers."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.called = asyncio.Event()

    def connection(self) -> "_EndpointConnection":
        """Serve a connection."""
        return _EndpointConnection(self.called, answers=self._kind == "fast")

    async def settled(self) -> None:
        """Wait until the endpoint is known to answer, or not to."""
        if self._kind == "none":
            await asyncio.sleep(RELAYED_SECONDS)
            return
        await self.called.wait()
        await asyncio.sleep(RELAYED_SECONDS if self._kind == "fast" else DEAD_AFTER_SECONDS)


class _EndpointConnection(asyncio.Protocol):
    def __init__(self, called: asyncio.Event, *, answers: bool) -> None:
        self._called = called
        self._answers = answers
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        length = LENGTH.search(self._buffer, 0, end) if end >= 0 else None
        if length is None or len(self._buffer) < end + 4 + int(length[1]):
            return
        self._buffer = b""
        self._called.set()
        if self._answers:
            self._transport.write(ACCEPTED)


def _together(costs: Sequence[Cost]) -> Cost:
    """The medians of several parts, and all their waits."""
    waited = list(chain.from_iterable(cost.waited for cost in costs))
    return Cost(median(cost.server for cost in costs), median(cost.worker for cost in costs), waited)
