"""A node is killed, and its clients return to others: Vigil's client and socket.io-client, on Node.js."""

import asyncio
import json
import shutil
import subprocess
import time
from asyncio.subprocess import PIPE, Process
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.nodes import ROOT, Node

from bench.faults.rows import Figure, Row
from bench.faults.world import World, seconds_until

KINDS = ("vigil", "socket.io")
TABS = 10
WINDOW_MS = 500
MAX_LINE_BYTES = 4_000_000
# What a peak of random arrivals may exceed another of the same rate by.
CHANCE = 1.1


class Front:
    """A TCP balancer: connects each client to the next node that accepts."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._addresses = [urlsplit(node.url) for node in nodes]
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """End all connections."""
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._addresses:
            address = self._addresses[0]
            try:
                onward, back = await asyncio.open_connection(address.hostname, address.port)
            except OSError:
                self._addresses.append(self._addresses.pop(0))
                continue
            self._open |= {writer, back}
            with suppress(OSError):
                await asyncio.gather(pump(reader, back), pump(onward, writer))
            self._open -= {writer, back}
            return
        writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what is read; close with the other side, also if it was reset."""
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
    writer.close()


class NodeJs:
    """A process of returning_clients.mjs."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, world: World) -> "NodeJs":
        """Start it. It is bundled, so that each version of Node.js takes the modules of the browser."""
        script = world.folder / "clients.mjs"
        if not script.exists():
            await asyncio.to_thread(bundle, script)
        # Node.js has WebSocket since 22, and before behind a flag.
        flags = [] if await asyncio.to_thread(has_websocket) else ["--experimental-websocket", "--no-warnings"]
        process = await asyncio.create_subprocess_exec(
            *("node", *flags, str(script)), stdin=PIPE, stdout=PIPE, limit=MAX_LINE_BYTES
        )
        clients = cls(process)
        world.stack.push_async_callback(clients.end)
        return clients

    async def ask(self, line: str) -> str:
        """Send a line, and return the next one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        answer = (await self._process.stdout.readline()).decode().strip()
        assert answer, "the clients have ended"
        return answer

    async def report(self) -> dict[str, Any]:
        """The attempts since all were connected, and how many are live."""
        report: dict[str, Any] = json.loads(await self.ask("report"))
        return report

    async def end(self) -> None:
        """Kill the process."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def bundle(script: Path) -> None:
    """Bundle the clients with esbuild, as the page is."""
    esbuild = ROOT / "scripts/page/node_modules/.bin/esbuild"
    source = ROOT / "bench/faults/returning_clients.mjs"
    options = ("--bundle", "--platform=node", "--format=esm", "--log-level=error", f"--outfile={script}")
    subprocess.run([esbuild, source, *options], check=True)  # noqa: S603 - of this repository


def has_websocket() -> bool:
    """Whether Node.js has WebSocket without a flag."""
    node = shutil.which("node")
    assert node is not None
    command = [node, "-p", "typeof WebSocket"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - constant
    return done.stdout.strip() == "function"


async def returned(world: World) -> list[Figure]:
    """Kill the node of 2,000 clients of one kind, and then that of as many of the other kind."""
    installation = world.stores().installation()
    [survivor] = await world.start(installation, 1)
    count = world.scaled(2000)
    logins = await world.logins(survivor, -(-count // TABS))
    tokens = [login.access_token for login in logins for _ in range(TABS)][:count]
    peaks, figures = {}, [Figure("clients", count)]
    for kind in KINDS:
        [doomed] = await world.start(installation, 1)
        front = Front([doomed, survivor])
        await front.start()
        world.stack.push_async_callback(front.close)
        clients = await NodeJs.start(world)
        assert await clients.ask(json.dumps({"kind": kind, "url": front.url, "tokens": tokens})) == "live"
        killed_at = time.time() * 1000
        doomed.kill()

        async def all_back(clients: NodeJs = clients) -> bool:
            return bool((await clients.report())["live"] == count)

        # Not before they have noticed.
        await asyncio.sleep(1)
        back = 1 + await seconds_until(all_back, "all clients are live")
        attempts = (await clients.report())["attempts"]
        peaks[kind] = peak(attempts)
        await clients.end()
        await front.close()
        figures += [
            Figure(f"{kind}: first attempt after", (min(attempts) - killed_at) / 1000, "s"),
            Figure(f"{kind}: all live again after", back, "s"),
            Figure(f"{kind}: attempts", len(attempts)),
            Figure(f"{kind}: peak of connects a second", peaks[kind]),
        ]
    return [*figures, Figure("ratio of the peaks", peaks["vigil"] / peaks["socket.io"], most=CHANCE)]


def peak(times: Sequence[float]) -> float:
    """The most attempts in a window of half a second, for a second."""
    ordered = sorted(times)
    return max(bisect_left(ordered, at + WINDOW_MS) - place for place, at in enumerate(ordered)) * 1000 / WINDOW_MS


RETURN_ROWS = [
    Row(
        "clients-return",
        "a node with 2,000 sockets is killed; clients of two kinds return to another node",
        "the peak of connects of Vigil's client is bounded by chance, and not above that of socket.io-client",
        "The client waits 0.25 to 1.75 s before its first attempt, and longer before others, up to 30 s.",
        returned,
    ),
]
