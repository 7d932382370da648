"""Events of one socket are served one after the other; what the server needs to hear is heard meanwhile."""

import asyncio
from typing import Any

from support.clients import Live
from support.raw_socket import RawSocket


async def test_a_slow_event_is_answered_before_the_quick_ones_behind_it(probe_nodes: Any, log_in: Any) -> None:
    login = await log_in(probe_nodes[0])
    async with RawSocket.open(probe_nodes[1].url) as raw:
        await raw.connect({"token": login.access_token})
        ids = [
            await raw.emit("probe:slow", {"seconds": 0.4, "n": 0}),
            *[await raw.emit("probe:slow", {"seconds": 0.01 * (9 - n), "n": n}) for n in range(1, 10)],
            await raw.emit("sessions-list", {}),
            await raw.emit("probe:nothing", {}),
            await raw.emit("probe:echo", {"last": True}),
        ]
        await raw.wait_for("3", ids[-1])
        acks = [packet for packet in raw.heard if packet.kind == "3"]
    assert [ack.id for ack in acks] == ids
    assert [ack.data[0]["n"] for ack in acks[:10]] == list(range(10))


async def test_one_sockets_slow_event_holds_up_no_other_socket(
    probe_nodes: Any, connect: Any, log_in: Any
) -> None:
    login = await log_in(probe_nodes[0])
    slow = await connect(probe_nodes[0], login.access_token)
    quick = await connect(probe_nodes[0], login.access_token)
    asking = asyncio.create_task(slow.ask("probe:slow", {"seconds": 1.5}))
    for number in range(10):
        assert (await quick.ask("probe:echo", {"n": number}))["data"] == {"n": number}
    assert not asking.done()
    assert (await asking)["ok"] is True


async def test_a_slow_event_does_not_keep_an_acknowledgement_from_being_read(
    probe_nodes: Any, connect: Any, log_in: Any
) -> None:
    """The device is told, says that it heard and is gone, long before its handler is done."""
    first, second = probe_nodes
    laptop = await log_in(first)
    phone = await log_in(first, laptop.data["user"]["email"])
    live = await connect(first, laptop.access_token)
    busy = await connect(second, phone.access_token)
    await busy.client.emit("probe:slow", {"seconds": 20})
    ack = await live.ask("session-revoke", {"sessionId": phone.session_id})
    assert ack["delivery"] == {"sockets": 1, "notified": 1, "acknowledged": 1, "closed": 1, "pending": 0}
    await busy.until_gone(timeout=30)


async def test_what_still_waits_when_a_session_ends_is_not_served(
    probe_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = probe_nodes
    laptop = await log_in(first)
    phone = await log_in(first, laptop.data["user"]["email"])
    live = await connect(first, laptop.access_token)
    async with RawSocket.open(second.url) as raw:
        await raw.connect({"token": phone.access_token})
        slow = await raw.emit("probe:slow", {"seconds": 0.4})
        waiting = await raw.emit("probe:echo", {})
        asking = asyncio.create_task(live.ask("session-revoke", {"sessionId": phone.session_id}))
        await raw.wait_for("2", event="session-revoked")
        # It does not acknowledge, so there is time for the answers.
        assert (await raw.wait_for("3", slow)).data[0]["ok"] is True
        assert (await raw.wait_for("3", waiting)).data[0]["code"] == "session_revoked"
        await raw.until_closed()
        await asking


async def test_too_many_events_waiting_are_told_to_come_again(probe_nodes: Any, connect: Any, log_in: Any) -> None:
    """No limit on the rate is set here: it is the queue of one socket that is full."""
    live: Live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token)
    asked = [asyncio.create_task(live.ask("probe:slow", {"seconds": 0.3, "n": 0}))]
    asked += [asyncio.create_task(live.ask("probe:echo", {"n": n})) for n in range(200)]
    acks = await asyncio.gather(*asked)
    refused = [ack for ack in acks if not ack["ok"]]
    assert {ack["code"] for ack in refused} == {"rate_limited"}
    assert all(ack["retryAfterMs"] > 0 for ack in refused)
    served = [ack["data"]["n"] for ack in acks[1:] if ack["ok"]]
    assert len(served) in {127, 128}  # whether the first one had begun already when the others came
    assert served == list(range(len(served)))
