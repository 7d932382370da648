"""Coming back with `lastEventId`: what was missed follows in order, each event once, on whichever node."""

import asyncio
import json
from typing import Any

from support.clients import Live


def events_of(live: Live) -> list[tuple[str, int]]:
    return [(name, data["eventId"]) for name, data in live.heard if "eventId" in data]


def last_of(live: Live) -> Any:
    """What a client keeps: the greatest id that it was told."""
    return max([live.ready["lastEventId"], *(event_id for _, event_id in events_of(live))])


async def quiet(live: Live, marker: str) -> None:
    """Wait until an event of the session `marker` has come: all before it have, too."""
    await live.wait("sessions-changed", lambda e: (e["change"], e["session"]["sessionId"]) == ("removed", marker))


async def test_what_was_missed_follows_in_order_and_nothing_twice(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    laptop = await log_in(first)
    email = laptop.data["user"]["email"]
    witness = await connect(first, laptop.access_token)
    leaving = await connect(first, laptop.access_token)
    before = await log_in(second, email)
    await leaving.wait("sessions-changed", lambda e: e["session"]["sessionId"] == before.session_id)
    cursor = last_of(leaving)
    await leaving.close()

    missed = [await log_in(where, email) for where in (first, second, second)]
    for login in missed:
        await login.call("POST", "/logout", {})
    await quiet(witness, missed[-1].session_id)

    for where in (second, first):  # it may come back anywhere, and again
        back = await connect(where, laptop.access_token, last_event_id=cursor)
        assert back.ready["recovered"] is True
        expected = [each for each in events_of(witness) if each[1] > cursor]
        await back.wait("sessions-changed", lambda e, last=expected[-1][1]: e["eventId"] == last)
        assert events_of(back)[: len(expected)] == expected
        assert back.ready["lastEventId"] == expected[-1][1]
        # From here on it goes on live, without a gap.
        late = await log_in(second, email)
        await late.call("POST", "/logout", {})
        await quiet(back, late.session_id)
        await quiet(witness, late.session_id)
        assert events_of(back) == [each for each in events_of(witness) if each[1] > cursor]
        versions = [data["version"] for name, data in back.heard if name == "sessions-changed"]
        assert versions == list(range(versions[0], versions[0] + len(versions)))


async def test_events_that_come_in_during_the_return_are_neither_lost_nor_doubled(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    laptop = await log_in(first)
    email = laptop.data["user"]["email"]
    witness = await connect(first, laptop.access_token)
    others = [await log_in(first, email) for _ in range(12)]
    cursor = witness.ready["lastEventId"]
    backs: list[Live] = []

    async def return_again_and_again(where: Any) -> None:
        for _ in range(6):
            backs.append(await connect(where, laptop.access_token, last_event_id=cursor))

    async def end_the_others() -> None:
        for other in others:
            await other.call("POST", "/logout", {})

    await asyncio.gather(return_again_and_again(first), return_again_and_again(second), end_the_others())
    await quiet(witness, others[-1].session_id)
    for back in backs:
        await quiet(back, others[-1].session_id)
        assert back.ready["recovered"] is True
        assert events_of(back) == [each for each in events_of(witness) if each[1] > cursor]


async def test_with_nothing_missed_it_is_recovered_at_once(shared_nodes: Any, connect: Any, log_in: Any) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    live = await connect(first, login.access_token)
    cursor = live.ready["lastEventId"]
    back = await connect(second, login.access_token, last_event_id=cursor)
    assert (back.ready["recovered"], back.ready["lastEventId"]) == (True, cursor)
    assert (await back.ask("sessions-list"))["ok"] is True
    assert [name for name, _ in back.heard] == ["ready"]


async def test_an_id_that_was_never_given_out_is_not_recovered(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    live = await connect(first, login.access_token)
    newest = live.ready["lastEventId"]
    for where, unknown in ((first, newest + 1), (second, newest + 10**6), (second, 2**53 - 1)):
        back = await connect(where, login.access_token, last_event_id=unknown)
        assert back.ready["recovered"] is False
        assert back.ready["lastEventId"] == newest
        assert (await back.ask("sessions-list"))["ok"] is True
        assert [name for name, _ in back.heard] == ["ready"]


async def test_a_log_that_no_longer_reaches_back_is_not_recovered(
    shared_nodes: Any, connect: Any, log_in: Any, redis_client: Any
) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    live = await connect(first, login.access_token)
    logins = [await log_in(second, login.data["user"]["email"]) for _ in range(2)]
    user_id = login.data["user"]["userId"]
    (log,) = [key async for key in redis_client.scan_iter(match=f"*:user:{user_id}:log")]
    # As it is after more events than it keeps: the first one is gone.
    await live.wait("sessions-changed", lambda e: e["session"]["sessionId"] == logins[-1].session_id)
    gone = [json.loads(frame)["i"] for frame in await redis_client.lpop(log, 2)][1]
    # Who saw the last event that is gone has missed nothing that is not kept; who did not may have.
    for cursor, recovered in ((0, False), (1, False), (gone - 1, False), (gone, True)):
        back = await connect(second, login.access_token, last_event_id=cursor)
        assert back.ready["recovered"] is recovered, cursor
        assert back.ready["lastEventId"] == last_of(live)


async def test_another_users_events_are_never_in_ones_log(shared_nodes: Any, connect: Any, log_in: Any) -> None:
    first, second = shared_nodes
    login, stranger = await log_in(first), await log_in(second)
    live = await connect(first, login.access_token)
    cursor = live.ready["lastEventId"]
    for _ in range(3):
        await log_in(second, stranger.data["user"]["email"])
    mine = await log_in(second, login.data["user"]["email"])
    await live.wait("sessions-changed")
    back = await connect(second, login.access_token, last_event_id=cursor)
    assert back.ready["recovered"] is True
    await back.wait("sessions-changed")
    assert {data["session"]["sessionId"] for data in back.all("sessions-changed")} == {mine.session_id}
