"""An application's hooks on sessions: each runs until it has succeeded, without the others, and not for ever."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from support.session_world import make_session

from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.events import SecurityAlert, SessionCreated, SessionEnded, SessionUpdated
from auth.core.models import SYSTEM, RevocationReason, Session
from realtime.application import Application
from realtime.delivery.session_hooks import LONGEST_PAUSE, MOST_TRIES, SessionHooks, pause_after

NOW = utc_now()
SESSION = make_session(NOW, session_id="session")
ENDED = SessionEnded(SESSION, RevocationReason.ADMIN, SYSTEM, NOW)


@dataclass
class Due:
    """Stands for MongoDB: what is due of one session."""

    now: datetime = NOW
    hooks: set[str] = field(default_factory=set)
    at: datetime = NOW
    tries: int = 0
    is_down: bool = False

    async def add(self, session_id: str, hooks: Sequence[str], *, user_id: str, at: datetime) -> None:
        if self.is_down:
            raise Unavailable
        self.hooks |= set(hooks)
        self.at, self.tries = at, 0

    async def claim(self, *, now: datetime, until: datetime) -> tuple[Session, frozenset[str], int] | None:
        if not self.hooks or self.at > now:
            return None
        self.at = until
        self.tries += 1
        return SESSION, frozenset(self.hooks), self.tries

    async def settle(self, session_id: str, done: Sequence[str], *, user_id: str, again_at: datetime) -> None:
        self.hooks -= set(done)
        self.at = again_at


@dataclass
class World:
    """The hooks, an application whose hooks fail so many times, and what they were told."""

    due: Due = field(default_factory=Due)
    application: Application = field(default_factory=lambda: Application("app"))
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hooks = SessionHooks(cast("Any", self.due), self.application, clock=lambda: self.due.now)

    def hook(
        self, name: str, *, failures: int = 0, kind: str = "ended", how: type[BaseException] = RuntimeError
    ) -> None:
        left = [failures]

        async def run(session: Session) -> None:
            assert session is SESSION
            self.told.append(name)
            if left[0]:
                left[0] -= 1
                raise how(name)

        getattr(self.application, f"on_session_{kind}")(run)

    async def later(self, span: timedelta) -> None:
        self.due.now += span
        await self.hooks._round()


@pytest.fixture
def world() -> World:
    return World()


async def test_one_that_fails_is_run_again_until_it_succeeds_and_the_others_are_not(world: World) -> None:
    world.hook("fails twice", failures=2)
    world.hook("succeeds")
    await world.hooks.run(ENDED)
    assert world.told == ["fails twice", "succeeds"]
    await world.later(timedelta(seconds=1))
    assert len(world.told) == 2  # not yet
    for _ in range(4):
        await world.later(timedelta(minutes=1))
    assert world.told == ["fails twice", "succeeds", "fails twice", "fails twice"]
    assert not world.due.hooks


@pytest.mark.parametrize("kind", ["started", "ended"])
async def test_each_kind_is_run_for_its_fact_and_again(world: World, kind: str) -> None:
    for each in ("started", "ended"):
        world.hook(each, failures=1, kind=each)
    await world.hooks.run(SessionCreated(SESSION) if kind == "started" else ENDED)
    await world.later(timedelta(minutes=1))
    assert world.told == [kind, kind]


async def test_other_facts_run_none(world: World) -> None:
    world.hook("ended")
    for fact in (SessionUpdated(SESSION), SecurityAlert("new_device", SESSION, NOW)):
        await world.hooks.run(fact)
    assert world.told == []


async def test_one_that_always_fails_is_left_alone_ever_longer_and_given_up_in_a_day(
    world: World,
) -> None:
    world.hook("always", failures=1000)
    await world.hooks.run(ENDED)
    began = world.due.now
    while world.due.hooks:
        await world.later(max(world.due.at - world.due.now, timedelta(seconds=1)))
    assert len(world.told) == 1 + MOST_TRIES
    assert timedelta(hours=12) < world.due.now - began < timedelta(days=1)


async def test_one_that_waited_for_what_was_cancelled_has_failed_and_ends_none_of_our_loops(world: World) -> None:
    world.hook("is cancelled", failures=2, how=asyncio.CancelledError)
    world.hook("succeeds")
    await world.hooks.run(ENDED)
    for _ in range(3):
        await world.later(timedelta(minutes=1))
    assert world.told == ["is cancelled", "succeeds", "is cancelled", "is cancelled"]
    assert not world.due.hooks


async def test_one_that_we_cancel_is_cancelled(world: World) -> None:
    @world.application.on_session_ended
    async def waits(session: Session) -> None:
        running.cancel()
        await asyncio.sleep(60)

    running = asyncio.create_task(world.hooks.run(ENDED))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not world.due.hooks


async def test_that_one_failed_is_either_noted_or_said(world: World) -> None:
    """Who published the fact then keeps its own mark, and the whole of it is told once more."""
    world.hook("fails", failures=1)
    world.due.is_down = True
    with pytest.raises(Unavailable):
        await world.hooks.run(ENDED)


async def test_one_that_the_application_no_longer_has_is_done_with(world: World) -> None:
    world.hook("gone", failures=1)
    await world.hooks.run(ENDED)
    world.application.ended_hooks.clear()
    await world.later(timedelta(minutes=1))
    assert not world.due.hooks


def test_pauses_double_up_to_an_hour() -> None:
    suspension: list[Any] = [pause_after(tries).total_seconds() for tries in range(1, 15)]
    assert suspension[:4] == [4, 8, 16, 32]
    assert suspension[-1] == pause_after(10**6).total_seconds() == LONGEST_PAUSE.total_seconds()
