"""The clock of a node is wrong at its start, or is set wrong while it runs."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import jwt
from support.clients import Api, Login
from support.machine_clock import MachineClock
from support.nodes import Installation, Node

from bench.faults.rows import Figure, Row
from bench.faults.world import World, is_not_ready, is_ready, seconds_until

FIVE_MINUTES = 300
WRONG_SECONDS = 20.0
TOKEN_SECONDS, SESSION_SECONDS = 60, 3600
# Nodes accept an expired token for 5 s; the rest is for clocks that differ within what is promised.
LEEWAY_SECONDS = 5
TOLERATED_SECONDS = 2.0
# A node takes a step for a pause, and answers what it has in hand with 503.
FINE = {"refreshed", "used", "raced", "unavailable"}
LIVES = {"VIGIL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS), "VIGIL_REFRESH_TOKEN_SECONDS": str(SESSION_SECONDS)}


class Refreshing:
    """Clients that refresh at a node with a wrong clock and at an honest one by turns, each time with two tabs."""

    def __init__(self, logins: Sequence[Login], apis: Sequence[Api]) -> None:
        self._logins = logins
        self._apis = apis
        self.outcomes: Counter[str] = Counter()
        self.longest = 0.0
        self.shortest = float(TOKEN_SECONDS)

    async def go_on(self, seconds: float) -> None:
        """Refresh all clients for `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.gather(*(self._refresh(login) for login in self._logins))

    async def _refresh(self, login: Login) -> None:
        for first, second in (self._apis, self._apis[::-1]):
            login.api = first
            old = login.refresh_token
            self._note(first is self._apis[0], *await self._present(login))
            # The token is seen in use, and then the second tab comes with the old one.
            answer = await second.call("GET", "/me", token=login.access_token)
            self.outcomes["used" if answer.status == 200 else answer.code] += 1
            raced = await second.call("POST", "/refresh", {"refreshToken": old})
            self.outcomes["raced" if raced.status == 200 else raced.code] += 1

    async def _present(self, login: Login) -> tuple[str, float]:
        answer = await login.refresh()
        if answer.status != 200:
            return answer.code, 0
        claims = jwt.decode(login.access_token, options={"verify_signature": False})
        return "refreshed", claims["exp"] - time.time()

    def _note(self, is_wrong: bool, outcome: str, life: float) -> None:
        self.outcomes[outcome] += 1
        if is_wrong and outcome == "refreshed":
            self.longest, self.shortest = max(self.longest, life), min(self.shortest, life)

    def figures(self) -> list[Figure]:
        """What the clients saw."""
        outcomes = {name: count for name, count in self.outcomes.items() if name not in FINE}
        sys.stderr.writelines(f"{count} of {name}\n" for name, count in outcomes.items())
        return [
            Figure("refreshes, second tabs and uses of new tokens", self.outcomes.total()),
            Figure("of them to be repeated (503)", self.outcomes["unavailable"]),
            Figure("of them refused", sum(outcomes.values()), most=0),
            Figure("longest life of its tokens", self.longest, "s", most=TOKEN_SECONDS + TOLERATED_SECONDS),
            Figure("tokens shortened by", TOKEN_SECONDS - self.shortest, "s", most=TOLERATED_SECONDS + 1),
        ]


async def stepped(world: World) -> list[Figure]:
    """Set the clock of one of two nodes five minutes ahead, then behind, then right."""
    stores = world.stores()
    installation = stores.installation()
    clock = MachineClock(world.folder)
    [honest] = await world.start(installation, 1, **LIVES)
    [wrong] = await world.start(replace(installation, is_as_shipped=True), 1, **LIVES, **clock.environ)
    logins = await world.logins(honest, world.scaled(20))
    idle = await world.logins(honest, 4)
    lives = [await world.connect(wrong, login.access_token) for login in idle]
    born = time.monotonic()
    refreshing = Refreshing(logins, [world.on(wrong), world.on(honest)])
    unready = []
    for ahead in (FIVE_MINUTES, -FIVE_MINUTES):
        clock.set(ahead)
        unready.append(await seconds_until(is_not_ready(world, wrong), "the node is not ready"))
        await refreshing.go_on(WRONG_SECONDS)
    closed = sum(live.gone.is_set() for live in lives)
    # Its clock is five minutes behind, but the tokens have expired.
    await asyncio.sleep(max(0, born + TOKEN_SECONDS + LEEWAY_SECONDS + TOLERATED_SECONDS - time.monotonic()))
    answers = [await world.on(wrong).call("GET", "/me", token=login.access_token) for login in idle]
    clock.set(0)
    ready = await seconds_until(is_ready(world, wrong), "the node is ready")
    with stores.mongo_client() as client:
        sessions = client[installation.name]["sessions"].find()
        longest = max(each["expiresAt"].timestamp() for each in sessions) - time.time()
    return [
        Figure("not ready after each step", max(unready), "s", most=TOLERATED_SECONDS + 1),
        *refreshing.figures(),
        Figure("sockets closed before their token expired", closed, most=0),
        Figure("expired tokens served", sum(answer.status == 200 for answer in answers), most=0),
        Figure("longest life of a session", longest, "s", most=SESSION_SECONDS + TOLERATED_SECONDS),
        Figure("ready again after", ready, "s"),
    ]


async def wrong_at_start(world: World) -> list[Figure]:
    """Start a node whose clock is five minutes ahead, and one whose clock is five minutes behind."""
    installation = replace(world.stores().installation(), is_as_shipped=True)
    clock = MachineClock(world.folder)
    unclear = 0
    for ahead in (FIVE_MINUTES, -FIVE_MINUTES):
        clock.set(ahead)
        unclear += not await is_refused(installation, clock, f"{ahead:+d}.")
    return [Figure("starts", 2), Figure("not refused with one line that says by how much", unclear, most=0)]


async def is_refused(installation: Installation, clock: MachineClock, difference: str) -> bool:
    """Whether a start is refused with one line that names the difference."""
    try:
        node: Node = await asyncio.to_thread(installation.start, **clock.environ)
    except AssertionError as refusal:
        _, *lines = str(refusal).splitlines()
        return len(lines) == 1 and f"differs: {difference}" in lines[0]
    node.stop()
    return False


CLOCK_ROWS = [
    Row(
        "clock-stepped",
        "the clock of a node is set 5 minutes ahead, then behind, while it runs",
        "it is not ready, and says why; no false logout; no token or session lives longer",
        "A step is followed only if the clock of MongoDB or Redis confirms it; until then time goes on as before.",
        stepped,
    ),
    Row(
        "clock-wrong",
        "a start with a clock 5 minutes ahead, and one 5 minutes behind",
        "one clear line",
        "The start is refused.",
        wrong_at_start,
    ),
]
