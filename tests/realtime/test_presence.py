"""Who is online: told when a device's first socket comes and its last one has gone, and never in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.clients import Live, Login

# Going offline is announced this long after the last socket went.
RETURN_SECONDS = 2.0


def of(login: Login, *, online: bool) -> Callable[[Any], bool]:
    return lambda event: (event["sessionId"], event["online"]) == (login.session_id, online)


def told_of(live: Live, login: Login) -> list[bool]:
    return [event["online"] for event in live.all("device-status") if event["sessionId"] == login.session_id]


@pytest.fixture
def two_devices(shared_nodes: Any, connect: Any, log_in: Any) -> Callable[[], Any]:
    """A laptop with a socket on the first node, that sees; and a phone without one."""

    async def make() -> tuple[Live, Login]:
        laptop = await log_in(shared_nodes[0])
        seeing = await connect(shared_nodes[0], laptop.access_token)
        return seeing, await log_in(shared_nodes[1], laptop.data["user"]["email"])

    return make


async def test_presence_follows_a_devices_first_and_last_socket(
    shared_nodes: Any, connect: Any, two_devices: Any
) -> None:
    """Four stories, told at once because each takes the time that a return is waited for."""
    await asyncio.gather(
        a_device_comes_and_goes(shared_nodes, connect, *(await two_devices())),
        several_tabs_count_as_one(shared_nodes, connect, *(await two_devices())),
        a_reload_does_not_flicker(shared_nodes, connect, *(await two_devices())),
        a_revoked_device_goes_offline(shared_nodes, connect, *(await two_devices())),
    )


async def a_device_comes_and_goes(nodes: Any, connect: Any, seeing: Live, phone: Login) -> None:
    live = await connect(nodes[1], phone.access_token)
    online = await seeing.wait("device-status", of(phone, online=True))
    assert online.keys() == {"eventId", "sessionId", "online", "sockets", "lastSeenAt"}
    assert online["sockets"] == 1
    # It is not told of its own coming; it knows.
    assert told_of(live, phone) == []
    clock = asyncio.get_running_loop().time
    left = clock()
    await live.close()
    offline = await seeing.wait("device-status", of(phone, online=False), timeout=30)
    assert clock() - left > RETURN_SECONDS - 0.1
    assert offline["sockets"] == 0
    assert offline["lastSeenAt"] > online["lastSeenAt"]
    listed = {s["sessionId"]: s["online"] for s in (await seeing.ask("sessions-list"))["sessions"]}
    assert listed == {seeing.ready["sessionId"]: True, phone.session_id: False}
    # And again.
    await connect(nodes[0], phone.access_token)
    await seeing.wait("device-status", lambda e: of(phone, online=True)(e) and e["eventId"] > offline["eventId"])
    assert told_of(seeing, phone) == [True, False, True]


async def several_tabs_count_as_one(nodes: Any, connect: Any, seeing: Live, phone: Login) -> None:
    tabs = [await connect(nodes[number % 2], phone.access_token) for number in range(3)]
    await seeing.wait("device-status", of(phone, online=True))
    await tabs[0].close()
    await tabs[1].close()
    # Longer than a return is waited for: with one tab left the device stays online.
    await asyncio.sleep(RETURN_SECONDS + 0.5)
    assert told_of(seeing, phone) == [True]
    await tabs[2].close()
    await seeing.wait("device-status", of(phone, online=False), timeout=30)
    assert told_of(seeing, phone) == [True, False]


async def a_reload_does_not_flicker(nodes: Any, connect: Any, seeing: Live, phone: Login) -> None:
    """Back within two seconds, on the same node or the other: nobody is told of anything."""
    live = await connect(nodes[1], phone.access_token)
    await seeing.wait("device-status", of(phone, online=True))
    for where in (nodes[1], nodes[0], nodes[1]):
        await live.close()
        live = await connect(where, phone.access_token)
    # Each old socket's time has passed by now.
    await asyncio.sleep(RETURN_SECONDS + 0.5)
    assert told_of(seeing, phone) == [True]
    listed = {s["sessionId"]: s["online"] for s in (await seeing.ask("sessions-list"))["sessions"]}
    assert listed[phone.session_id] is True


async def a_revoked_device_goes_offline(nodes: Any, connect: Any, seeing: Live, phone: Login) -> None:
    live = await connect(nodes[1], phone.access_token)
    await seeing.wait("device-status", of(phone, online=True))
    assert (await seeing.ask("session-revoke", {"sessionId": phone.session_id}))["delivery"]["closed"] == 1
    await live.until_gone()
    await seeing.wait("device-status", of(phone, online=False), timeout=30)
    assert told_of(seeing, phone) == [True, False]


async def test_a_refused_handshake_makes_nobody_online(shared_nodes: Any, two_devices: Any, connect: Any) -> None:
    seeing, phone = await two_devices()
    assert (await phone.call("POST", "/logout", {})).status == 200
    with pytest.raises(Exception, match="session_revoked"):
        await connect(shared_nodes[1], phone.access_token)
    assert (await seeing.ask("sessions-list"))["ok"] is True
    assert told_of(seeing, phone) == []


async def test_a_stranger_is_told_of_nothing(
    shared_nodes: Any, connect: Any, log_in: Any, two_devices: Any
) -> None:
    first, _ = shared_nodes
    stranger = await connect(first, (await log_in(first)).access_token)
    seeing, phone = await two_devices()
    await connect(shared_nodes[1], phone.access_token)
    await seeing.wait("device-status", of(phone, online=True))
    assert (await stranger.ask("sessions-list"))["ok"] is True
    assert [name for name, _ in stranger.heard] == ["ready"]
