"""Whole conversations at random with a real node: it lives, it serves the others, it forgets who has gone.

The cases are the same in every run (`derandomize`): what is found here is found again.
"""

import asyncio
import contextlib
import io
import re
from collections.abc import Iterator
from statistics import median

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from support.clients import Api
from support.fuzz_talk import Step, conversations, last_words, spelt_out, visits
from support.nodes import Node, tracebacks
from support.processes import open_files, resident_kib
from support.raw_socket import HANDSHAKE, Polling, RawSocket
from support.waiting import Stopwatch, eventually
from support.wire import CLOSE, TEXT, Wire, frame

SERVED_SECONDS = 1
AT_MOST_SECONDS = 10
# More than any conversation may leave behind for good.
MOST_KEPT_KIB = 60_000
# Ends a conversation: it is answered, or the connection has been closed.
LAST = 4_000_000_000
GAUGE = re.compile(r"^vigil_sockets (\S+)$", re.MULTILINE)

some = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)


class Bystander:
    """Another user, whose socket is there all the time; and the node's own account of itself."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.times: list[float] = []
        self.runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._logged = len(node.log)

    async def come(self) -> None:
        self.http = await self._stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        )
        api = Api(self.node.url, self.http)
        # Who attacks has an account of its own.
        attacker, victim = [await api.login(await api.register()) for _ in range(2)]
        self.token = attacker.access_token
        self.socket = await self._stack.enter_async_context(RawSocket.open(self.node.url))
        assert (await self.socket.connect({"token": victim.access_token})).kind == "0"
        self.files, self.memory = open_files(self.node), resident_kib(self.node)

    async def is_served(self) -> None:
        """The node lives, has raised nothing, and answers this socket."""
        watch = Stopwatch()
        async with asyncio.timeout(AT_MOST_SECONDS):
            assert (await self.socket.ask("sessions-list", {}))["ok"] is True
        self.socket.heard.clear()
        self.times.append(watch.seconds)
        assert self.node.process.poll() is None
        new, self._logged = self.node.log[self._logged :], len(self.node.log)
        assert tracebacks(new) == []

    async def is_alone_again(self) -> None:
        """Everybody else has gone, for the node too."""

        async def gone() -> bool:
            async with self.http.get(self.node.url + "/metrics") as answer:
                found = GAUGE.search(await answer.text())
            return found is not None and float(found[1]) == 1 and open_files(self.node) <= self.files + 2

        await eventually(gone, "only one socket is left", timeout=AT_MOST_SECONDS)
        assert resident_kib(self.node) - self.memory < MOST_KEPT_KIB
        assert median(self.times) < SERVED_SECONDS

    async def leave(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module")
def bystander(fuzzed: Node) -> Iterator[Bystander]:
    """Who must not notice any of it."""
    one = Bystander(fuzzed)
    with one.runner as runner:
        runner.run(one.come())
        yield one
        runner.run(one.leave())


async def converse(bystander: Bystander, steps: list[Step], rest: bytes) -> None:
    async with Wire.open(bystander.node.url) as wire:
        for opcode, payload, odd in steps:
            wire.write(frame(opcode, spelt_out(payload, bystander.token), **odd))
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(AT_MOST_SECONDS):
                    await wire.writer.drain()
        if rest:
            wire.write(rest)
        else:
            wire.write(frame(TEXT, f'42{LAST}["sessions-list",{{}}]'.encode()))
            async with asyncio.timeout(AT_MOST_SECONDS):
                while (answer := await wire.read()) is not None:
                    if answer[0] == CLOSE or answer[1].startswith(f"43{LAST}[".encode()):
                        break
    await bystander.is_served()


@settings(some, max_examples=350)
@given(conversations, last_words)
def conversation_by_websocket(bystander: Bystander, steps: list[Step], rest: bytes) -> None:
    bystander.runner.get_loop().run_until_complete(converse(bystander, steps, rest))


def test_a_conversation_by_websocket_harms_nobody(bystander: Bystander) -> None:
    conversation_by_websocket(bystander)
    bystander.runner.run(bystander.is_alone_again())


async def visit(bystander: Bystander, acts: list[tuple[str, bytes]]) -> None:
    url, http = bystander.node.url, bystander.http
    polling = await Polling.open(url, http)
    timeout = aiohttp.ClientTimeout(total=AT_MOST_SECONDS)

    async def poll(seconds: float) -> None:
        # Nothing may be there for the peer; a poll waits for it.
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(seconds), http.get(polling.url) as answer:
                assert answer.status in {200, 400}
                await answer.read()

    for act, payload in acts:
        data = spelt_out(payload, bystander.token)
        if act == "post":
            async with http.post(polling.url, data=io.BytesIO(data), timeout=timeout) as answer:
                assert answer.status in {200, 400, 413}
                assert (await answer.read()).startswith((b"ok", b"{")) or answer.status == 413
        elif act == "poll":
            await poll(0.05)
        elif act == "hang up":
            await poll(0.001)
        elif act == "two polls":
            await asyncio.gather(poll(0.05), poll(0.05))
        else:
            address = f"{url}{HANDSHAKE}websocket&sid={polling.sid}"
            try:
                async with http.ws_connect(address, autoping=False) as ws:
                    for packet in data.decode().split("\x1e"):
                        await ws.send_str(packet)
                    with contextlib.suppress(TimeoutError):
                        await ws.receive(timeout=0.05)
            except (aiohttp.WSServerHandshakeError, ConnectionError):
                continue
    await polling.send(b"1")
    await bystander.is_served()


@settings(some, max_examples=350)
@given(visits)
def conversation_by_polling(bystander: Bystander, acts: list[tuple[str, bytes]]) -> None:
    bystander.runner.get_loop().run_until_complete(visit(bystander, acts))


def test_a_conversation_by_polling_harms_nobody(bystander: Bystander) -> None:
    conversation_by_polling(bystander)
    bystander.runner.run(bystander.is_alone_again())
