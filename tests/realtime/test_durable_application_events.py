"""Durable events of a Python application, over two nodes."""

from typing import Any

EVENT = "probe:said"


async def test_a_user_gets_them_on_every_node_and_after_a_return(
    probe_nodes: Any, connect: Any, log_in: Any
) -> None:
    login = await log_in(probe_nodes[0])
    lives = [await connect(node, login.access_token, also=(EVENT,)) for node in probe_nodes]
    cursor = lives[0].ready["lastEventId"]
    to = {"userId": login.user_id}
    first = (await lives[1].ask("probe:say-durably", {"n": 1} | to))["id"]
    assert (await lives[1].ask("probe:say-to-user", {"n": 2} | to))["ok"] is True
    for live in lives:
        await live.wait(EVENT, lambda data: data["n"] == 2)
        assert live.all(EVENT) == [{"n": 1, "padding": "", "eventId": first}, {"n": 2}]
    back = await connect(probe_nodes[1], login.access_token, last_event_id=cursor, also=(EVENT,))
    await back.wait(EVENT)
    assert (back.ready["recovered"], back.all(EVENT)) == (True, lives[0].all(EVENT)[:1])


async def test_a_room_gets_them_in_the_order_of_its_history(probe_nodes: Any, connect: Any, log_in: Any) -> None:
    login = await log_in(probe_nodes[0])
    lives = [await connect(node, login.access_token, also=(EVENT,)) for node in probe_nodes]
    for live in lives:
        await live.ask("probe:enter")
    ids = [(await lives[n % 2].ask("probe:say-durably", {"n": n}))["id"] for n in range(5)]
    for live in lives:
        await live.wait(EVENT, lambda data: data["n"] == 4)
        assert [(data["historyId"], data["n"]) for data in live.all(EVENT)] == list(
            zip(ids, range(5), strict=True)
        )
    events = [[history_id, EVENT, n] for n, history_id in enumerate(ids)]
    page = await lives[0].ask("probe:history", {"limit": 3})
    assert page == {"ok": True, "events": events[:3], "next": ids[2], "recovered": None}
    page = await lives[1].ask("probe:history", {"after": ids[2]})
    assert page == {"ok": True, "events": events[3:], "next": None, "recovered": True}


async def test_one_that_is_too_large_is_refused(probe_nodes: Any, connect: Any, log_in: Any) -> None:
    login = await log_in(probe_nodes[0])
    live = await connect(probe_nodes[0], login.access_token, also=(EVENT,))
    for to in ({}, {"userId": login.user_id}):
        ack = await live.ask("probe:say-durably", {"n": 1, "size": 16 * 1024} | to)
        assert (ack["ok"], ack["code"]) == (False, "invalid_request")
    assert (await live.ask("probe:history"))["events"] == []
