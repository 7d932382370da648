"""Latency as people notice it: one act at a time on idle servers, and others' requests while logins queue."""

import asyncio
from collections.abc import Sequence

from bench.client import ANSWER_SECONDS, LoadError, Socket
from bench.http_scenarios import log_in
from bench.load import Round, drive, gather, measured, now
from bench.measures import waits
from bench.peers import Login
from bench.revocation_scenario import SESSIONS, Pair, started_with_pairs
from bench.socket_scenarios import MESSAGE, connect_all, let_in
from bench.web_client import Answer, Connection

REVOCATIONS, WARM_REVOCATIONS = 300, 50
PUSHES, WARM_PUSHES = 500, 100
PAUSE_SECONDS = 0.02
QUEUED_LOGINS = 1000
# Others ask this often and for this long, while the logins wait.
EVERY_SECONDS = 0.03
QUEUE_SECONDS = 15.0


async def revocation_alone_on_one_node(turn: Round) -> None:
    """Measure revocations one at a time."""
    await _revocations(turn, "revocation_alone_1", nodes=1)


async def revocation_alone_on_two_nodes(turn: Round) -> None:
    """Measure revocations one at a time, with the socket on the other node."""
    await _revocations(turn, "revocation_alone_2", nodes=2)


async def _revocations(turn: Round, scenario: str, *, nodes: int) -> None:
    stand = turn.stand
    warm, count = turn.options.units(WARM_REVOCATIONS), turn.options.units(REVOCATIONS)
    asked, pairs = await started_with_pairs(turn, warm + count, nodes=nodes)
    connection = await Connection.open(asked.host, asked.port)

    async def revoke(pair: Pair) -> tuple[float, float]:
        await asyncio.sleep(PAUSE_SECONDS)
        begun = now()
        answer = await connection.request(
            "DELETE", SESSIONS + pair.ended.session_id, token=pair.asking.access_token
        )
        answer.data  # noqa: B018 - raises unless it is a success
        return await asyncio.wait_for(pair.socket.closed, ANSWER_SECONDS) - begun, answer.seconds

    await drive(pairs[:warm], revoke, at_once=1)
    used = await measured(stand, drive(pairs[warm:], revoke, at_once=1))
    receipt_p50, receipt_p99 = waits([receipt for _, receipt in used.result])
    turn.record_p99(
        scenario,
        used,
        [closed for closed, _ in used.result],
        receipt_p50_ms=receipt_p50,
        receipt_p99_ms=receipt_p99,
    )
    connection.close()


async def push_to_another_node(turn: Round) -> None:
    """Measure pushes from a user on one node to a user on another, one at a time."""
    stand = turn.stand
    logins = await stand.seed(2, 1)
    first = await stand.start(2)
    for server in stand.servers:
        await let_in(server, logins[0])
    [(sender, _)] = await connect_all(first, [logins[0].access_token])
    [(receiver, _)] = await connect_all(stand.servers[-1], [logins[1].access_token])

    async def push(number: int) -> float:
        await asyncio.sleep(PAUSE_SECONDS)
        return await _push(sender, receiver, logins[1], number)

    await drive(range(turn.options.units(WARM_PUSHES)), push, at_once=1)
    used = await measured(stand, drive(range(turn.options.units(PUSHES)), push, at_once=1))
    turn.record_p99("push_alone_2", used, used.result)
    for socket in (sender, receiver):
        socket.hang_up()


async def _push(sender: Socket, receiver: Socket, to: Login, number: int) -> float:
    """Return the seconds until the receiver has the message."""
    heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def on_event(event: bytes) -> None:
        if event.startswith(MESSAGE) and not heard.done():
            heard.set_result(now())

    receiver.on_event = on_event
    begun = now()
    ack = sender.emit("bench:push", {"room": f"user:{to.user_id}", "data": {"n": number}})
    try:
        at = await asyncio.wait_for(heard, ANSWER_SECONDS)
        (await asyncio.wait_for(ack, ANSWER_SECONDS)).check()
    except TimeoutError:
        raise LoadError(f"push {number} did not reach the other node") from None
    return at - begun


async def login_queue(turn: Round) -> None:
    """Measure `GET /me` and acks of others while logins wait for Argon2."""
    stand = turn.stand
    logins = await stand.seed(1, 2)
    server = await stand.start()
    await let_in(server, logins[0])
    [(socket, _)] = await connect_all(server, [logins[0].access_token])
    reading = await Connection.open(server.host, server.port)
    queue = await gather(
        Connection.open(server.host, server.port) for _ in range(turn.options.units(QUEUED_LOGINS))
    )

    refused = 0

    async def read() -> float:
        nonlocal refused
        answer = await reading.request("GET", "/api/auth/me", token=logins[1].access_token)
        refused += answer.status != 200
        return answer.seconds

    async def ack() -> float:
        begun = now()
        return (await socket.ask("bench:join", {"room": "queue"})).at - begun

    async def both() -> list[tuple[float, float]]:
        times, end = [], now() + QUEUE_SECONDS
        while now() < end:
            times.append((await read(), await ack()))
            await asyncio.sleep(EVERY_SECONDS)
        return times

    await asyncio.gather(read(), ack())
    waiting = [asyncio.ensure_future(log_in(each, logins[0].email)) for each in queue]
    try:
        used = await measured(stand, both())
        queued = sum(not login.done() for login in waiting)
    finally:
        await _abandon(waiting, queue)
    ack_p50, ack_p99 = waits([seconds for _, seconds in used.result])
    turn.record_p99(
        "login_queue",
        used,
        [seconds for seconds, _ in used.result],
        ack_p50_ms=ack_p50,
        ack_p99_ms=ack_p99,
        still_queued=queued,
        refused=refused,
    )
    socket.hang_up()
    reading.close()


async def _abandon(waiting: Sequence[asyncio.Future[Answer]], queue: Sequence[Connection]) -> None:
    for login in waiting:
        login.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for connection in queue:
        connection.close()
