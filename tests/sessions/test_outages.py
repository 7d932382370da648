"""The session operations while MongoDB is away: nobody is logged out, and what can wait waits."""

from typing import Any

import pytest
from support.session_world import LAPTOP, World

from auth.core.errors import Unavailable
from auth.core.models import User


@pytest.fixture
def mongo_down(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every call of the session store fail as in an outage, until told otherwise."""

    class Outage:
        def begin(self) -> None:
            async def fail(*_: object, **__: object) -> None:
                raise Unavailable

            for name in ("create", "get", "rotate", "confirm", "touch", "revoke", "revoke_all", "live_of_user"):
                monkeypatch.setattr(world.store, name, fail)

        def end(self) -> None:
            monkeypatch.undo()

    return Outage()


async def test_a_refresh_is_unavailable_and_may_be_repeated_with_the_same_token(
    world: World, ada: User, mongo_down: Any
) -> None:
    started = await world.log_in(ada)
    mongo_down.begin()
    with pytest.raises(Unavailable):
        await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert world.refreshes("unavailable") == 1
    mongo_down.end()
    world.time.go(hours=1)
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert refreshed.outcome.value == "rotated"


async def test_an_answer_lost_in_the_outage_is_replayed_after_it(world: World, ada: User, mongo_down: Any) -> None:
    started = await world.log_in(ada)
    await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    mongo_down.begin()
    with pytest.raises(Unavailable):
        await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    mongo_down.end()
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert refreshed.outcome.value == "replayed"


async def test_an_access_token_works_on_and_the_next_use_confirms(
    world: World, ada: User, mongo_down: Any
) -> None:
    started = await world.log_in(ada)
    mongo_down.begin()
    principal = await world.sessions.authenticate(started.tokens.access_token)
    await world.sessions.seen(principal)
    mongo_down.end()
    assert not (await world.stored(started.session)).confirmed
    await world.sessions.authenticate(started.tokens.access_token)
    assert (await world.stored(started.session)).confirmed


async def test_asvs_16_5_3_with_redis_away_too_a_token_is_not_judged(
    world: World, ada: User, mongo_down: Any
) -> None:
    started = await world.log_in(ada)
    world.deny_list.answers = False
    mongo_down.begin()
    with pytest.raises(Unavailable):
        await world.sessions.authenticate(started.tokens.access_token)


async def test_nothing_is_said_to_have_ended_that_was_not(world: World, ada: User, mongo_down: Any) -> None:
    started = await world.log_in(ada)
    me = await world.sessions.verify(started.tokens.access_token)
    mongo_down.begin()
    for attempt in (
        world.sessions.revoke(me, me.session_id, client=LAPTOP),
        world.sessions.revoke_others(me, client=LAPTOP),
        world.sessions.log_out_everywhere(me, client=LAPTOP),
        world.sessions.log_out(me, client=LAPTOP),
        world.sessions.log_out_by_refresh_token(started.tokens.refresh_token, client=LAPTOP),
        world.sessions.list(me),
        world.log_in(ada),
    ):
        with pytest.raises(Unavailable):
            await attempt
    assert world.facts.ended == []
    mongo_down.end()
    await world.sessions.authenticate(started.tokens.access_token)
