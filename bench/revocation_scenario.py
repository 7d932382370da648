"""Time from `DELETE /sessions/{id}` to the close of that session's socket, on one node and across two."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import ANSWER_SECONDS, LoadError, Socket
from bench.load import Round, drive, gather, measured, now
from bench.peers import Login, Server
from bench.socket_scenarios import connect_all, let_in
from bench.web_client import Connection

SCENARIOS = ("revocation_1", "revocation_2")
REVOCATIONS = 500
WARM_REVOCATIONS = 300
AT_ONCE = 8
SESSIONS = "/api/auth/sessions/"


@dataclass(frozen=True, slots=True)
class Pair:
    """A user's two sessions: `asking` revokes `ended`, which has the socket."""

    asking: Login
    ended: Login
    socket: Socket


async def revocation_on_one_node(turn: Round) -> None:
    """Measure revocations with the socket on the requested node."""
    await _revocation(turn, "revocation_1", nodes=1)


async def revocation_on_two_nodes(turn: Round) -> None:
    """Measure revocations with the socket on the other node."""
    await _revocation(turn, "revocation_2", nodes=2)


async def _revocation(turn: Round, scenario: str, *, nodes: int) -> None:
    stand = turn.stand
    warm, count = turn.options.units(WARM_REVOCATIONS), turn.options.units(REVOCATIONS)
    asked, pairs = await started_with_pairs(turn, warm + count, nodes=nodes)
    connections = await gather(Connection.open(asked.host, asked.port) for _ in range(AT_ONCE))
    free = list(connections)
    unclosed = 0

    async def revoke(pair: Pair) -> float:
        nonlocal unclosed
        connection = free.pop()
        begun = now()
        answer = await connection.request(
            "DELETE", SESSIONS + pair.ended.session_id, token=pair.asking.access_token
        )
        free.append(connection)
        delivery = answer.data["delivery"]
        unclosed += delivery["sockets"] != 1 or delivery["closed"] != 1
        try:
            return await asyncio.wait_for(asyncio.shield(pair.socket.closed), ANSWER_SECONDS) - begun
        except TimeoutError:
            raise LoadError(f"{stand.peer.name}: a revoked session kept its socket") from None

    await drive(pairs[:warm], revoke, at_once=AT_ONCE)
    unclosed = 0
    used = await measured(stand, drive(pairs[warm:], revoke, at_once=AT_ONCE))
    turn.record_cpu(scenario, used, used.result, not_reported_closed=unclosed)
    for connection in connections:
        connection.close()


async def started_with_pairs(turn: Round, count: int, *, nodes: int) -> tuple[Server, list[Pair]]:
    """Start nodes; return the one to ask, and pairs with their sockets on the last one."""
    stand = turn.stand
    logins = await stand.seed(count, 2)
    asked = await stand.start(nodes)
    for server in stand.servers:
        await let_in(server, logins[0])
    return asked, await _pairs_of(logins, stand.servers[-1])


async def _pairs_of(logins: Sequence[Login], holding: Server) -> list[Pair]:
    """Group the sessions by user, and connect the second session of each."""
    by_user: dict[str, list[Login]] = {}
    for login in logins:
        by_user.setdefault(login.user_id, []).append(login)
    couples = list(by_user.values())
    made = await connect_all(holding, [ended.access_token for _, ended in couples])
    return [Pair(asking, ended, socket) for (asking, ended), (socket, _) in zip(couples, made, strict=True)]
