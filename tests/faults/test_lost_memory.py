"""Redis loses what it held, and nodes die over it: what was missed is owned up to, and nothing stays for good."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from support.breakable import Stores
from support.clients import Api, Live, Login
from support.nodes import PROBE, Node
from support.waiting import eventually

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
Pair = tuple[Node, Node]

# The promise is 15 s, which `make faults` measures; the rest is for a busy machine.
TOLD_SECONDS = 45


@dataclass
class Away:
    """A client that is away, and what it knows."""

    login: Login
    cursor: int
    version: int
    event: str


async def go_away(pair: Pair, on: On, connect: Connect, others: str, event: str) -> Away:
    login = await on(pair[0]).login(await on(pair[0]).register())
    if others == "another socket stays here":
        await connect(pair[0], login.access_token)
    elif others == "another socket stays there":
        await connect(pair[1], login.access_token)
    live = await connect(pair[0], login.access_token)
    version = (await live.ask("sessions-list"))["version"]
    await live.close()
    if event == "before the loss":
        await on(pair[1]).login(login.data["user"]["email"])
    cursor = max([live.ready["lastEventId"], *[e["eventId"] for _, e in live.heard if "eventId" in e]])
    return Away(login, cursor, version, event)


async def test_who_was_away_when_redis_lost_its_data_is_never_told_that_all_is_recovered(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    """Whatever happened before and after it, and wherever and however late the client returns."""
    stays = ("nobody stays", "another socket stays here", "another socket stays there")
    moments = ("before the loss", "after the loss", "none")
    away = [await go_away(pair, on, connect, *each) for each in product(stays, moments)]
    with whole.redis_client() as client:
        client.flushall()
    for each in away:
        if each.event == "after the loss":
            await on(pair[1]).login(each.login.data["user"]["email"])

    async def returns(each: Away) -> list[Live]:
        """At once, and again with what it knew then when the nodes have put their sockets back."""
        at_once = await connect(pair[1], each.login.access_token, last_event_id=each.cursor)
        await asyncio.sleep(4)  # longer than from one renewal of a lease to the next
        late = await connect(pair[0], each.login.access_token, last_event_id=each.cursor)
        again = await connect(pair[1], each.login.access_token, last_event_id=late.ready["lastEventId"])
        return [at_once, late, again]

    for each, lives in zip(away, await asyncio.gather(*map(returns, away)), strict=True):
        assert [live.ready["recovered"] for live in lives] == [False, False, True], each.event
        assert lives[0].ready["lastEventId"] > each.cursor
        assert (await lives[0].ask("sessions-list"))["version"] > each.version + 1


async def test_a_node_killed_after_redis_lost_its_data_leaves_no_device_online_and_its_application_is_told(
    whole: Stores, on: On, connect: Connect
) -> None:
    installation = whole.installation()  # where every node runs this application
    nodes = [await asyncio.to_thread(lambda: installation.start(VIGIL_APPLICATION=PROBE)) for _ in range(2)]
    here, doomed = nodes
    try:
        email = await on(here).register()
        watcher, before, after = [await on(here).login(email) for _ in range(3)]
        watching = await connect(here, watcher.access_token)
        await connect(doomed, before.access_token)
        await watching.wait("device-status", lambda e: e["sessionId"] == before.session_id)
        version = (await watching.ask("sessions-list"))["version"]
        with whole.redis_client() as client:
            client.flushall()

        last = await connect(doomed, after.access_token)
        doomed.kill()

        # Of the one from before nothing is known any more: who shows it is to list again.
        def is_gap(event: Any) -> bool:
            return bool(event["version"] > version + 1)

        await watching.wait("sessions-changed", is_gap, timeout=TOLD_SECONDS)

        # And of the one that came since it is told.
        await watching.wait(
            "device-status", lambda e: e["sessionId"] == after.session_id and not e["online"], timeout=TOLD_SECONDS
        )
        listed = (await watching.ask("sessions-list"))["sessions"]
        assert {s["sessionId"] for s in listed if s["online"]} == {watcher.session_id}

        async def said() -> bool:
            seen = (await watching.ask("probe:seen"))["seen"]
            return ["disconnected at last elsewhere", after.session_id, last.ready["socketId"]] in seen

        await eventually(said, "the application, which failed once, is told", timeout=TOLD_SECONDS, every=0.25)
        # The sockets that were put back were gone to it as well, for all that could be known.
        seen = (await watching.ask("probe:seen"))["seen"]
        assert [hook for hook, session, _ in seen if session == watcher.session_id].count("connected") == 2
        # Nothing of the dead node is left that could hide a return.
        known = len(watching.all("device-status"))
        await connect(here, after.access_token)

        async def announced() -> bool:
            news = watching.all("device-status")[known:]
            return [(e["sessionId"], e["online"]) for e in news] == [(after.session_id, True)]

        await eventually(announced, "it is told that the device is back", timeout=TOLD_SECONDS)
    finally:
        assert here.stop() == 0
