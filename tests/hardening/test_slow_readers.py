"""A peer that does not read: what waits for it is bounded, in bytes and in time, and nothing of it stays behind.

Whether it answers pings says nothing about whether it reads them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from support.clients import Api
from support.nodes import Node
from support.processes import open_files, resident_kib
from support.raw_socket import Polling, RawSocket
from support.waiting import Stopwatch, eventually
from support.wire import Wire

MESSAGE = 100_000
# More than the kernel takes between two sockets here: what is left is for the node to keep.
FLOOD = 16_000_000
# What may wait for one peer, and for how long.
MOST_SECONDS = 5
LATE_SECONDS = 5
MOST_KEPT_KIB = 20_000

Say = Callable[[], Awaitable[int]]


@asynccontextmanager
async def deaf_peer(url: str, token: dict[str, str], room: str) -> AsyncIterator[Wire]:
    """A socket in `room` that reads nothing from now on."""
    async with Wire.open(url, receive_buffer=4096) as wire:
        assert (await wire.connect(token)).kind == "0"
        assert (await wire.ask("probe:enter", {"room": room}))["ok"] is True
        yield wire


def saying(watching: Any, room: str) -> Say:
    """Says something in `room`; how many bytes were said there in all."""
    said = 0

    async def say() -> int:
        nonlocal said
        said += MESSAGE
        assert (await watching.ask("probe:say", {"room": room, "n": said, "size": MESSAGE}))["ok"] is True
        return said

    return say


def held_by_kernel(node: Node, wire: Wire) -> int:
    """What is on its way between the two, and so not with the node any more."""
    ports = {f"{urlsplit(node.url).port or 0:04X}", f"{wire.port:04X}"}
    held = 0
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if {local.split(":")[1], remote.split(":")[1]} == ports:
                sending, receiving = queues.split(":")
                held += int(sending, 16) + int(receiving, 16)
    return held


async def is_gone(node: Node, wire: Wire) -> bool:
    """Whether the node has let go of the connection."""
    ours, theirs = f":{wire.port:04X} ", f":{urlsplit(node.url).port or 0:04X} "
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table if ours in line and theirs in line]
    # Its own end of it, established (01) or with the peer's goodbye in hand (08).
    return not any(row[1].endswith(theirs.strip()) and row[3] in {"01", "08"} for row in rows)


@pytest.mark.parametrize("answers_pings", [False, True])
async def test_it_is_dropped_when_a_megabyte_waits_for_it(
    attacked: Any, token: Any, watching: Any, answers_pings: bool
) -> None:
    before = resident_kib(attacked)
    async with deaf_peer(attacked.url, token, "deaf") as wire:
        say = saying(watching, "deaf")
        while not await is_gone(attacked, wire):
            assert await say() < FLOOD, "not dropped"
            if answers_pings:
                wire.send("3")
            assert resident_kib(attacked) - before < MOST_KEPT_KIB


@pytest.mark.parametrize("answers_pings", [False, True])
async def test_it_is_dropped_when_something_has_waited_for_five_seconds(
    attacked: Any, token: Any, watching: Any, answers_pings: bool
) -> None:
    async with deaf_peer(attacked.url, token, "deaf-and-dumb") as wire:
        say = saying(watching, "deaf-and-dumb")
        # The first bytes that the kernel does not take are all that ever waits.
        while await say() - held_by_kernel(attacked, wire) < MESSAGE // 2:
            pass
        watch = Stopwatch()
        assert not await is_gone(attacked, wire)
        while not await is_gone(attacked, wire):
            assert watch.seconds < MOST_SECONDS + LATE_SECONDS, "not dropped"
            if answers_pings:
                wire.send("3")
            await asyncio.sleep(0.1)
        assert watch.seconds > MOST_SECONDS - 1


async def test_who_reads_slowly_but_reads_is_not_dropped(attacked: Any, token: Any, watching: Any) -> None:
    async with deaf_peer(attacked.url, token, "slow") as wire:
        say = saying(watching, "slow")
        while (said := await say()) - held_by_kernel(attacked, wire) < MESSAGE // 2:
            pass
        # Some of it every second, for longer than anything may wait untouched.
        for _ in range(2 * MOST_SECONDS):
            await asyncio.sleep(1)
            await wire.wait_for("2", event="probe:said")
            await wire.wait_for("2", event="probe:said")
        while (await wire.wait_for("2", event="probe:said")).data[1]["n"] < said:
            pass
        assert (await wire.ask("sessions-list", {}, number=7))["ok"] is True


async def test_what_waited_for_it_is_given_back(attacked: Any, token: Any, watching: Any) -> None:
    files, sizes = open_files(attacked), []
    for turn in range(3):
        for peer in range(8):
            room = f"memory-{turn}-{peer}"
            async with deaf_peer(attacked.url, token, room) as wire:
                say = saying(watching, room)
                while not await is_gone(attacked, wire):
                    for _ in range(5):
                        assert await say() < FLOOD, "not dropped"
        sizes.append(resident_kib(attacked))
    # Eight peers' megabytes would show twice between the first turn and the last.
    assert sizes[-1] - sizes[0] < 10_000, sizes

    async def closed() -> bool:
        return open_files(attacked) <= files

    await eventually(closed, "its files are closed", timeout=10)


class TestPolling:
    """A peer that posts and never polls."""

    @pytest.fixture
    async def deaf(self, attacked: Any, http: aiohttp.ClientSession, token: Any) -> Polling:
        polling = await Polling.open(attacked.url, http)
        await polling.send(b"40" + json.dumps(token).encode())
        await polling.until("ready")
        await polling.send(b'421["probe:enter",{"room":"polling"}]')
        await polling.until("431")
        return polling

    async def test_it_is_dropped_when_a_megabyte_waits_for_it(self, deaf: Any, watching: Any) -> None:
        say = saying(watching, "polling")
        while await deaf.send(b"3") == 200:
            assert await say() <= 2_000_000, "not dropped"

    async def test_it_is_dropped_when_something_has_waited_for_five_seconds(
        self, deaf: Any, watching: Any
    ) -> None:
        watch = Stopwatch()
        await saying(watching, "polling")()
        while await deaf.send(b"3") == 200:
            assert watch.seconds < MOST_SECONDS + LATE_SECONDS, "not dropped"
            await asyncio.sleep(0.1)
        assert watch.seconds > MOST_SECONDS - 1


async def test_what_it_missed_of_its_account_it_hears_when_it_comes_back(
    attacked: Any, http: aiohttp.ClientSession
) -> None:
    api = Api(attacked.url, http)
    email = await api.register()
    deaf_device, other_device = await api.login(email), await api.login(email)
    tokens = [{"token": device.access_token} for device in (deaf_device, other_device)]
    async with RawSocket.open(attacked.url) as other, deaf_peer(attacked.url, tokens[0], email) as wire:
        await other.connect(tokens[1])
        wire.send('421["sessions-list",{}]')
        last = 0
        while (packet := await wire.packet()) is not None and packet.kind != "3":
            last = event_id(packet) or last
        # It reads no more. What happens to its account is written behind what nobody reads.
        say = saying(other, email)
        while await say() - held_by_kernel(attacked, wire) < MESSAGE // 2:
            pass
        for _ in range(3):
            third = await api.login(email)
            await third.call("DELETE", f"/sessions/{third.session_id}")
        while not await is_gone(attacked, wire):
            assert await say() < FLOOD, "not dropped"
        await api.login(email)
        await other.ask("sessions-list", {})

        async with RawSocket.open(attacked.url) as back:
            await back.send("40" + json.dumps(tokens[0] | {"lastEventId": last}))
            ready = (await back.wait_for("2", event="ready")).data[1]
            assert ready["recovered"] is True
            await back.ask("sessions-list", {})
            await other.ask("sessions-list", {})
            heard = {event_id(packet): packet.data for packet in back.heard if event_id(packet)}
            known = {event_id(packet): packet.data for packet in other.heard if event_id(packet)}
        # Seven came and went: each was told, and the two devices were told the same.
        missed = {number: data for number, data in known.items() if number is not None and number > last}
        assert len(missed) >= 7
        assert {number: data for number, data in heard.items() if number in missed} == missed


def event_id(packet: Any) -> int | None:
    return packet.data[1].get("eventId") if packet.kind == "2" and packet.data[0] != "ready" else None
