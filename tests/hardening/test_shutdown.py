"""SIGTERM: every socket is told goodbye, whether it listens or not, and the process is gone in time."""

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.clients import Api
from support.nodes import PROBE, tracebacks
from support.raw_socket import Polling
from support.waiting import Stopwatch, eventually
from support.wire import Wire

READERS, STRANGERS, DEAF = 420, 40, 40
AT_ONCE = 20
STOP_SECONDS = 10
GOODBYES = {1000, 1001, 1012}
MESSAGE, FLOOD = 100_000, 6_000_000


@pytest.fixture
def stopping(start_node: Any) -> Any:
    return start_node(VIGIL_APPLICATION=PROBE)


async def test_every_socket_gets_a_close_frame_and_the_process_ends_in_time(
    stopping: Any, http: aiohttp.ClientSession
) -> None:
    api = Api(stopping.url, http)
    token = {"token": (await api.login(await api.register())).access_token}
    async with AsyncExitStack() as stack:

        async def open_one(kind: int) -> Wire:
            deaf = kind >= READERS + STRANGERS
            wire = await stack.enter_async_context(Wire.open(stopping.url, receive_buffer=4096 if deaf else None))
            if kind < READERS or deaf:
                assert (await wire.connect(token)).kind == "0"
            if deaf:
                assert (await wire.ask("probe:enter", {}))["ok"] is True
            return wire

        wires: list[Wire] = []
        for start in range(0, READERS + STRANGERS + DEAF, AT_ONCE):
            wires += await asyncio.gather(*map(open_one, range(start, start + AT_ONCE)))
        readers, strangers = wires[:READERS], wires[READERS : READERS + STRANGERS]
        # Who polls while the process ends gets an answer, too.
        polling = await Polling.open(stopping.url, http)
        resting = asyncio.create_task(polling.rest(timeout=STOP_SECONDS))
        # What waits for those who do not read must not hold up the end.
        for _ in range(FLOOD // MESSAGE):
            await readers[0].ask("probe:say", {"size": MESSAGE})
        # The strangers have 5 s in all; those that were ended for it meanwhile had their close frame as well.
        watch = Stopwatch()
        stopping.process.send_signal(signal.SIGTERM)
        codes = await asyncio.gather(*(wire.until_closed(STOP_SECONDS + 2) for wire in readers + strangers))

        async def ended() -> bool:
            return stopping.process.poll() is not None

        await eventually(ended, "the process ends", timeout=STOP_SECONDS + 2 - watch.seconds)
        assert watch.seconds <= STOP_SECONDS
        resting.cancel()
    assert set(codes[:READERS]) <= GOODBYES, {code: codes.count(code) for code in codes}
    assert None not in codes
    assert stopping.process.returncode == 0
    assert tracebacks(stopping.log) == []
