"""Cost of HTTP requests: account, sessions, refresh and login."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bench.load import Round, Used, drive, gather, measured
from bench.measures import per_unit
from bench.peers import PASSWORD, Login, Server
from bench.socket_scenarios import connect_all, let_in
from bench.web_client import Answer, Connection

SCENARIOS = ("me", "me_fresh", "refresh", "sessions", "login", "login_rest")
USERS = 200
DEVICES = 5
CONNECTIONS = 24
READS = 4000
FRESH_READS = 2000
LISTS = 2000
REFRESHES = 2000
LOGINS = 80
# V8 compiles a function after about a thousand calls; before that, it costs two to four times as much.
WARM_TURNS = 3
WARM_LOGINS = 24
LOGINS_AT_ONCE = 8
PAUSE_SECONDS = 1.0

J = TypeVar("J")
ActNotice = Callable[[Connection, J], Awaitable[Answer]]


async def requests(turn: Round) -> None:
    """Measure all requests on one server, with five devices per user, one of them online."""
    stand = turn.stand
    logins = await stand.seed(turn.options.units(USERS), DEVICES)
    server = await stand.start()
    await let_in(server, logins[0])
    online = await connect_all(server, [login.access_token for login in logins[::DEVICES]])
    if turn.wants("me", "me_fresh"):
        await _me(turn, server, logins)
    if turn.wants("sessions"):
        await _sessions(turn, server, logins)
    if turn.wants("refresh"):
        await _refresh(turn, server, logins)
    if turn.wants("login", "login_rest"):
        await _login(turn, server, [login.email for login in logins[::DEVICES]])
    for socket, _ in online:
        socket.hang_up()


async def over(server: Server, jobs: Sequence[J], act: ActNotice[J], *, at_once: int = CONNECTIONS) -> list[float]:
    """Run all jobs over keep-alive connections; return the seconds of each. Raises `LoadError` on an error."""
    free = await gather(Connection.open(server.host, server.port) for _ in range(at_once))
    connections = list(free)

    async def one(job: J) -> float:
        connection = free.pop()
        answer = await act(connection, job)
        answer.data  # noqa: B018 - raises unless it is a success
        free.append(connection)
        return answer.seconds

    try:
        return await drive(jobs, one, at_once=at_once)
    finally:
        for connection in connections:
            connection.close()


async def _me(turn: Round, server: Server, logins: Sequence[Login]) -> None:
    async def read(connection: Connection, token: str) -> Answer:
        return await connection.request("GET", "/api/auth/me", token=token)

    tokens = [login.access_token for login in logins]
    # Warm the server's token cache, as it is for most of a token's life.
    await over(server, tokens * WARM_TURNS, read)
    if turn.wants("me"):
        many = list(itertools.islice(itertools.cycle(tokens), turn.options.units(READS)))
        used = await measured(turn.stand, over(server, many, read))
        turn.record_cpu("me", used, used.result)
    if turn.wants("me_fresh"):
        owners = list(itertools.islice(itertools.cycle(logins), turn.options.units(FRESH_READS)))
        fresh = await turn.stand.mint(owners)
        used = await measured(turn.stand, over(server, fresh, read))
        turn.record_cpu("me_fresh", used, used.result)


async def _sessions(turn: Round, server: Server, logins: Sequence[Login]) -> None:
    async def read(connection: Connection, token: str) -> Answer:
        return await connection.request("GET", "/api/auth/sessions", token=token)

    tokens = [login.access_token for login in logins]
    await over(server, tokens * WARM_TURNS, read)
    many = list(itertools.islice(itertools.cycle(tokens), turn.options.units(LISTS)))
    used = await measured(turn.stand, over(server, many, read))
    turn.record_cpu("sessions", used, used.result)


async def _refresh(turn: Round, server: Server, logins: Sequence[Login]) -> None:
    current = {login.session_id: login.refresh_token for login in logins}

    async def refresh(connection: Connection, session_id: str) -> Answer:
        answer = await connection.request("POST", "/api/auth/refresh", body={"refreshToken": current[session_id]})
        current[session_id] = answer.data["refreshToken"]
        return answer

    ids = list(current)
    for _ in range(WARM_TURNS):
        await over(server, ids, refresh)
    many = list(itertools.islice(itertools.cycle(ids), turn.options.units(REFRESHES)))
    used = await measured(turn.stand, over(server, many, refresh))
    turn.record_cpu("refresh", used, used.result)


async def log_in(connection: Connection, email: str) -> Answer:
    """Log in a seeded user."""
    body = {"email": email, "password": PASSWORD, "delivery": "body"}
    return await connection.request("POST", "/api/auth/login", body=body)


async def _login(turn: Round, server: Server, emails: Sequence[str]) -> None:
    count = min(turn.options.units(LOGINS), len(emails))
    await over(server, emails[-WARM_LOGINS:], log_in, at_once=LOGINS_AT_ONCE)
    # Measured before and after, in case the machine's speed changes.
    before = await turn.stand.argon2_seconds()
    used = await measured(turn.stand, over(server, emails[:count], log_in, at_once=LOGINS_AT_ONCE))
    await asyncio.sleep(PAUSE_SECONDS)
    argon2 = (before + await turn.stand.argon2_seconds()) / 2
    _record_login(turn, used, argon2)


def _record_login(turn: Round, used: Used[list[float]], argon2: float) -> None:
    count = len(used.result)
    loop = per_unit(used.loop_cpu, count)
    turn.record_cpu("login", used, used.result, argon2=argon2 * 1e6, event_loop=loop)
    # Argon2 does not run on the event loop's thread. Subtracting argon2's measured cost gives the same quantity,
    # but as a small difference of two large figures.
    whole = used.cpu / count
    turn.record("login_rest", loop / whole / 1e4, count, by_subtraction=(whole - argon2) / whole * 100)
