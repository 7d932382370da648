"""Answers to refreshes are lost while tabs race, and thieves have copies of the tokens."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
import jwt
from support.breakable import Way
from support.clients import Answer, Api, Login

from bench.faults.rows import Figure, Row
from bench.faults.world import GIVE_UP_SECONDS, World

SHARE_LOST = 0.3
TABS = 3
# Clients refresh as often as in three hours with tokens of 15 minutes.
TOKEN_SECONDS, HONEST_SECONDS = 5, 60.0
# Tabs refresh when a token is that old. In each tab another one, so that they race in another order each time.
AGES = (3.0, 3.5)
# A thief who comes within the leeway of the owner is a tab that races.
LEEWAY_SECONDS = 3
LOGGED_OUT = {"session_revoked", "refresh_reused", "invalid_token", "session_expired"}


class Browser:
    """One session, whose tabs share what is stored, on a network that loses answers."""

    def __init__(self, login: Login, lossy: Sequence[Api], sure: Api) -> None:
        self._lossy = lossy
        self._sure = sure
        self.refresh_token = login.refresh_token
        self._access_token = login.access_token
        self._stored_at = time.monotonic()
        self._generation = 0
        self.refreshes = 0
        self.logged_out = ""

    async def tab(self) -> None:
        """Refresh when the stored token is old, until the session has ended."""
        while not self.logged_out:
            await asyncio.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - no secret
            if time.monotonic() - self._stored_at < random.uniform(*AGES):  # noqa: S311 - no secret
                continue
            # A lost answer: the tab looks again what is stored, and repeats.
            with suppress(aiohttp.ClientError, OSError):
                await self._take(await present(secrets.choice(self._lossy), self.refresh_token))

    async def _take(self, answer: Answer) -> None:
        if answer.status != 200:
            if answer.code in LOGGED_OUT:
                self.logged_out = answer.code
            return
        self.refreshes += 1
        token = answer.data["accessToken"]
        generation = jwt.decode(token, options={"verify_signature": False})["gen"]
        if generation > self._generation:
            self.refresh_token, self._access_token = answer.data["refreshToken"], token
            self._generation, self._stored_at = generation, time.monotonic()
        await self._sure.call("GET", "/me", token=token)


class Thief:
    """Copies the stored token, refreshes later than the leeway, and goes on until he is refused."""

    def __init__(self, victim: Browser, api: Api) -> None:
        self._victim = victim
        self._api = api
        self.caught_after: float | None = None

    async def act(self) -> None:
        """Steal, and go on for as long as it works."""
        await asyncio.sleep(random.uniform(0, 2 * TOKEN_SECONDS))  # noqa: S311 - no secret
        token, begun = self._victim.refresh_token, time.monotonic()
        while time.monotonic() < begun + GIVE_UP_SECONDS:
            await asyncio.sleep(LEEWAY_SECONDS + random.uniform(0.5, 3))  # noqa: S311 - no secret
            answer = await present(self._api, token)
            if answer.status == 200:
                token = answer.data["refreshToken"]
                await self._api.call("GET", "/me", token=answer.data["accessToken"])
            elif answer.code in LOGGED_OUT:
                self.caught_after = time.monotonic() - begun
                return


async def present(api: Api, token: str) -> Answer:
    """Refresh."""
    return await api.call("POST", "/refresh", {"refreshToken": token})


async def lost(world: World) -> list[Figure]:
    """Lose 30 % of the answers for a minute, and then let thieves act."""
    stores = world.stores()
    lives = {"VIGIL_ACCESS_TOKEN_SECONDS": TOKEN_SECONDS, "VIGIL_REUSE_LEEWAY_SECONDS": LEEWAY_SECONDS}
    pair = await world.start(stores.installation(), 2, **{name: str(value) for name, value in lives.items()})
    ways: list[Way] = [stores.way_to(node.url) for node in pair]
    lossy = [Api(way.url, world.http) for way in ways]
    browsers = [
        Browser(login, lossy, world.on(random.choice(pair)))  # noqa: S311 - no secret
        for login in await world.logins(pair[0], world.scaled(60))
    ]
    for way in ways:
        way.lose(SHARE_LOST)
    tabs = [asyncio.create_task(browser.tab()) for browser in browsers for _ in range(TABS)]
    await asyncio.sleep(HONEST_SECONDS)
    refreshes = sum(browser.refreshes for browser in browsers)
    answers_lost = sum(way.lost for way in ways)
    false_logouts = sum(bool(browser.logged_out) for browser in browsers)
    thieves = [Thief(browser, world.on(secrets.choice(pair))) for browser in browsers if not browser.logged_out]
    await asyncio.gather(*(thief.act() for thief in thieves))
    # Each owner sees it, too.
    await asyncio.wait_for(asyncio.gather(*tabs), GIVE_UP_SECONDS)
    caught = [thief.caught_after for thief in thieves if thief.caught_after is not None]
    return [
        Figure("users", len(browsers)),
        Figure("refreshes answered", refreshes),
        Figure("answers lost", answers_lost),
        Figure("false logouts", false_logouts, most=0),
        Figure("thieves", len(thieves)),
        Figure("of them not caught", len(thieves) - len(caught), most=0),
        Figure("caught at most after", max(caught, default=0), "s"),
    ]


LOSS_ROWS = [
    Row(
        "answers-lost",
        "30 % of the answers to refreshes are lost, while three tabs of each user race; then each has a thief",
        "no false logout; each thief is caught",
        "A token whose successor was not seen in use may be presented again. Used by two, it ends the session.",
        lost,
    ),
]
