"""Cost of sockets: handshake, idle memory, pushes and re-authentication."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench.accounting import memory, settled_memory
from bench.client import ANSWER_SECONDS, LoadError, Socket, connect
from bench.load import Round, drive, gather, measured, now
from bench.peers import Login, Server
from bench.web_client import Connection

HANDSHAKES_AT_ONCE = 64
PUSHES_AT_ONCE = 16
RENEWALS_AT_ONCE = 64
REFRESHES_AT_ONCE = 24
# Presence outlives a socket by two seconds.
LEAVE_SECONDS = 3.0
WARM_AT_ONCE = 16
START_TRIES = 50
START_PAUSE_SECONDS = 0.2
ROOM = "everybody"
MESSAGE = b'["bench:message"'
TEXT = "x" * 100
PUSHES_TO_ONE = 2000
USERS_WITH_THREE = 500
PUSHES_TO_ALL = 20
WARM_PUSHES_TO_ALL = 5

Payload = Callable[[Login], dict[str, Any]]

SCENARIOS = ("handshake", "idle", "push_1", "push_3", "push_room", "reauthenticate", "reauthenticate_unseen")


async def sockets(turn: Round) -> None:
    """Measure all socket scenarios on one server."""
    stand, count = turn.stand, turn.options.sockets
    warm = max(count // 2, 50)
    logins = await stand.seed(count + warm, 1)
    server = await stand.start()
    await let_in(server, logins[-1])
    await warm_up(server, logins[count:], "bench:join", lambda _: {"room": "warm"})
    before = await settled_memory(stand.pids[0], at_least=4, at_most=12 if turn.wants("idle") else 4)
    tokens = [login.access_token for login in logins[:count]]
    halfway = before

    async def let_all_in() -> list[tuple[Socket, float]]:
        nonlocal halfway
        first = await connect_all(server, tokens[: count // 2])
        halfway = memory(stand.pids[0])
        return first + await connect_all(server, tokens[count // 2 :])

    used = await measured(stand, let_all_in())
    live = [socket for socket, _ in used.result]
    try:
        turn.record_cpu("handshake", used, [seconds for _, seconds in used.result])
        if turn.wants("idle"):
            after = await settled_memory(stand.pids[0], at_least=10, at_most=40)
            turn.record(
                "idle",
                (after.rss - before.rss) / count,
                count,
                uss=(after.uss - before.uss) / count,
                pss=(after.pss - before.pss) / count,
                # Excludes free heap memory that existed before the first socket.
                second_half=(after.rss - halfway.rss) / (count - count // 2),
                process_before=before.rss,
                process_after=after.rss,
            )
        by_user = list(zip(live, logins[:count], strict=True))
        if turn.wants("push_1", "push_3"):
            await _push_to_users(turn, server, by_user)
        if turn.wants("push_room"):
            await _push_to_room(turn, live)
        if turn.wants("reauthenticate_unseen"):
            await _reauthenticate(turn, "reauthenticate_unseen", by_user, turn.stand.mint)
        if turn.wants("reauthenticate"):
            await _reauthenticate(turn, "reauthenticate", by_user, Refreshes(server).tokens)
    finally:
        for socket in live:
            socket.hang_up()


async def let_in(server: Server, login: Login) -> None:
    """Wait until a started server accepts sockets. Raises `LoadError` if it does not within `START_TRIES`."""
    for tries_left in reversed(range(START_TRIES)):
        try:
            socket, _ = await connect(server.host, server.port, login.access_token)
        except LoadError:
            if not tries_left:
                raise
            await asyncio.sleep(START_PAUSE_SECONDS)
        else:
            socket.hang_up()
            return


async def connect_all(
    server: Server, tokens: Sequence[str], *, at_once: int = HANDSHAKES_AT_ONCE
) -> list[tuple[Socket, float]]:
    """Connect a socket for each token; return them in order, with the seconds of each handshake."""

    async def one(job: tuple[int, str]) -> tuple[int, tuple[Socket, float]]:
        return job[0], await connect(server.host, server.port, job[1])

    made = await drive(enumerate(tokens), one, at_once=at_once)
    return [connected for _, connected in sorted(made, key=lambda each: each[0])]


async def warm_up(server: Server, logins: Sequence[Login], event: str, payload: Payload) -> None:
    """Warm up a server with handshakes and events.

    Each socket closes once it is served: many concurrent sockets would leave free heap memory behind, which would
    reduce the memory growth measured afterwards.
    """

    async def come_and_go(login: Login) -> None:
        socket, _ = await connect(server.host, server.port, login.access_token)
        await socket.ask(event, payload(login))
        socket.hang_up()

    await drive(logins, come_and_go, at_once=WARM_AT_ONCE)
    await asyncio.sleep(LEAVE_SECONDS)


class Watch:
    """Waits until `copies` sockets have received a push; records the time of each."""

    def __init__(self, copies: int) -> None:
        self.times: list[float] = []
        self.all_heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._copies = copies

    def on_event(self, event: bytes) -> None:
        """Handle an event of any of the sockets."""
        if not event.startswith(MESSAGE):
            return
        self.times.append(now())
        if len(self.times) == self._copies and not self.all_heard.done():
            self.all_heard.set_result(None)


async def _push(sender: Socket, room: str, receivers: Sequence[Socket], number: int) -> list[float]:
    """Push once; return the seconds until each receiver had it."""
    watch = Watch(len(receivers))
    for receiver in receivers:
        receiver.on_event = watch.on_event
    begun = now()
    ack = sender.emit("bench:push", {"room": room, "data": {"n": number, "text": TEXT}})
    try:
        await asyncio.wait_for(watch.all_heard, ANSWER_SECONDS)
        (await asyncio.wait_for(ack, ANSWER_SECONDS)).check()
    except TimeoutError:
        raise LoadError(f"push {number} came to {len(watch.times)} of {len(receivers)} sockets") from None
    finally:
        for receiver in receivers:
            receiver.on_event = None
    return [at - begun for at in watch.times]


async def _push_to_users(turn: Round, server: Server, live: Sequence[tuple[Socket, Login]]) -> None:
    senders, others = live[:PUSHES_AT_ONCE], live[PUSHES_AT_ONCE:]
    count = min(turn.options.units(PUSHES_TO_ONE), len(others))
    if turn.wants("push_1"):
        await _push_series(
            turn, "push_1", senders, [(login.user_id, [socket]) for socket, login in others[:count]]
        )
    if not turn.wants("push_3"):
        return
    three = others[: min(USERS_WITH_THREE, count)]
    tokens = [login.access_token for _, login in three for _ in range(2)]
    more = [socket for socket, _ in await connect_all(server, tokens)]
    targets = [
        (login.user_id, [socket, *more[2 * index : 2 * index + 2]]) for index, (socket, login) in enumerate(three)
    ]
    await _push_series(turn, "push_3", senders, targets * max(count // len(three), 1))
    for socket in more:
        socket.hang_up()
    await asyncio.sleep(LEAVE_SECONDS)


async def _push_series(
    turn: Round,
    scenario: str,
    senders: Sequence[tuple[Socket, Login]],
    targets: Sequence[tuple[str, list[Socket]]],
) -> None:
    """Push to each user once, with one concurrent push per sender."""
    free = [socket for socket, _ in senders]

    async def push(job: tuple[int, tuple[str, list[Socket]]]) -> list[float]:
        number, (user_id, receivers) = job
        sender = free.pop()
        try:
            return await _push(sender, f"user:{user_id}", receivers, number)
        finally:
            free.append(sender)

    warm = max(len(targets) // 2, 1)
    await drive(enumerate(targets[:warm]), push, at_once=len(senders))
    used = await measured(turn.stand, drive(enumerate(targets), push, at_once=len(senders)))
    # Complete when the last of a user's sockets has it.
    turn.record_cpu(scenario, used, [max(times) for times in used.result])


async def _push_to_room(turn: Round, live: Sequence[Socket]) -> None:
    await drive(live, lambda socket: socket.ask("bench:join", {"room": ROOM}), at_once=RENEWALS_AT_ONCE)

    async def push(number: int) -> list[float]:
        return await _push(live[0], ROOM, live, number)

    await drive(range(WARM_PUSHES_TO_ALL), push, at_once=1)
    used = await measured(turn.stand, drive(range(PUSHES_TO_ALL), push, at_once=1))
    waited = list(itertools.chain.from_iterable(used.result))
    turn.record_cpu("push_room", used, waited, last_ms=max(map(max, used.result)) * 1000)


class Refreshes:
    """Refreshes sessions over HTTP, keeping their current refresh tokens."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._refresh_tokens: dict[str, str] = {}

    async def tokens(self, logins: Sequence[Login]) -> list[str]:
        """Return a new access token for each login, in order."""
        free = await gather(
            Connection.open(self._server.host, self._server.port) for _ in range(REFRESHES_AT_ONCE)
        )
        connections = list(free)

        async def refresh(job: tuple[int, Login]) -> tuple[int, str]:
            number, login = job
            connection = free.pop()
            asked = {"refreshToken": self._refresh_tokens.get(login.session_id, login.refresh_token)}
            data = (await connection.request("POST", "/api/auth/refresh", body=asked)).data
            free.append(connection)
            self._refresh_tokens[login.session_id] = data["refreshToken"]
            return number, data["accessToken"]

        try:
            made = await drive(enumerate(logins), refresh, at_once=REFRESHES_AT_ONCE)
        finally:
            for connection in connections:
                connection.close()
        return [token for _, token in sorted(made)]


async def _reauthenticate(
    turn: Round,
    scenario: str,
    live: Sequence[tuple[Socket, Login]],
    mint: Callable[[Sequence[Login]], Awaitable[list[str]]],
) -> None:
    """Re-authenticate every socket once with a new token."""
    warm = live[: max(len(live) // 2, 1)]

    async def renew(job: tuple[Socket, str]) -> float:
        socket, token = job
        begun = now()
        return (await socket.ask("reauthenticate", {"token": token})).at - begun

    for part in (warm, live):
        tokens = await mint([login for _, login in part])
        jobs = list(zip([socket for socket, _ in part], tokens, strict=True))
        used = await measured(turn.stand, drive(jobs, renew, at_once=RENEWALS_AT_ONCE))
    turn.record_cpu(scenario, used, used.result)
