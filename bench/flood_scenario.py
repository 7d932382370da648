"""Latency of other users' acks, requests and revocations while peers flood a node."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from bench.client import LoadError
from bench.load import Round, Used, gather, measured, now
from bench.measures import waits
from bench.peers import ROOT, Login, Server
from bench.processes import spawn
from bench.revocation_scenario import SESSIONS
from bench.socket_scenarios import connect_all, let_in
from bench.web_client import Connection

SECONDS = 15.0
EVERY_SECONDS = 0.03
# Enough that each stays within the event rate limit, which is enabled here.
LISTENERS = 25
REVOCATIONS = 10
BUS_CHECK_SECONDS = 0.5

ActNotice = Callable[[int], Awaitable[float]]


async def one_flooder(turn: Round) -> None:
    """One logged-in peer floods."""
    await _flood(turn, "flood_1", 1)


async def fifty_flooders(turn: Round) -> None:
    """Fifty peers flood, half of them logged in."""
    await _flood(turn, "flood_50", 50)


async def _flood(turn: Round, scenario: str, count: int) -> None:
    stand = turn.stand
    by_user: dict[str, list[Login]] = {}
    for login in await stand.seed(LISTENERS + REVOCATIONS + max(1, count // 2), 2):
        by_user.setdefault(login.user_id, []).append(login)
    users = list(by_user.values())
    listeners = [first for first, _ in users[:LISTENERS]]
    ending = users[LISTENERS : LISTENERS + REVOCATIONS]
    attackers = [first for first, _ in users[LISTENERS + REVOCATIONS :]]
    server = await stand.start(limited=True)
    await let_in(server, listeners[0])
    # Connect before the flood, which exhausts the handshake limit of the address we share with it.
    sockets = [socket for socket, _ in await connect_all(server, [each.access_token for each in listeners])]
    held = [socket for socket, _ in await connect_all(server, [ended.access_token for _, ended in ending])]
    connection = await Connection.open(server.host, server.port)
    revoking = await Connection.open(server.host, server.port)

    async def ack(number: int) -> float:
        begun = now()
        await sockets[number % LISTENERS].ask("bench:join", {"room": "flood"})
        return now() - begun

    async def health(_: int) -> float:
        answer = await connection.request("GET", "/health/live")
        if answer.status != 200:
            raise LoadError(f"/health/live answered {answer.status}")
        return answer.seconds

    async def revoke(number: int) -> float:
        begun = now()
        asking, ended = ending[number]
        await revoking.request("DELETE", SESSIONS + ended.session_id, token=asking.access_token)
        return await asyncio.wait_for(asyncio.shield(held[number].closed), SECONDS) - begun

    flooding = await spawn(
        (sys.executable, "-m", "bench.flooders", server.host, str(server.port), str(count), *_tokens(attackers)),
        name="flooders",
        environ=os.environ,
        cores=stand.cores.load,
        cwd=ROOT,
    )
    try:
        await flooding.wait_for("flooding")
        flooding.follow()
        used: Used[list[list[float]]] = await measured(
            stand,
            gather(
                (
                    _each(ack, EVERY_SECONDS),
                    _each(health, EVERY_SECONDS),
                    _each(revoke, SECONDS / REVOCATIONS),
                    _each(_bus_check(server), BUS_CHECK_SECONDS),
                )
            ),
        )
    finally:
        await flooding.stop()
        for socket in sockets:
            socket.hang_up()
        connection.close()
        revoking.close()
    acks, answers, ends, deaf = used.result
    turn.record_cpu(
        scenario,
        used,
        acks,
        health_p99_ms=waits(answers)[1],
        revocation_p99_ms=waits(ends)[1],
        seconds_deaf=sum(deaf),
    )


def _tokens(logins: Sequence[Login]) -> list[str]:
    return [login.access_token for login in logins]


async def _each(act: ActNotice, every: float) -> list[float]:
    """Call `act` periodically for `SECONDS`; return the results."""
    results: list[float] = []
    end = now() + SECONDS
    while (begun := now()) < end and len(results) < SECONDS / every:
        results.append(await act(len(results)))
        await asyncio.sleep(max(0.0, every - (now() - begun)))
    return results


def _bus_check(server: Server) -> ActNotice:
    """Return a check of the node's readiness: 0, or the seconds until the next check if it is not ready."""

    async def check(_: int) -> float:
        connection = await Connection.open(server.host, server.port)
        try:
            answer = await connection.request("GET", "/health/ready")
        finally:
            connection.close()
        return 0.0 if answer.status == 200 else BUS_CHECK_SECONDS

    return check
