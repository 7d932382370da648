"""The data directory of the embedded services: its disk is full, it is read-only, or it is in use."""

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from support.clients import Answer, Login
from support.commands import bare_environ, run_command
from support.nodes import ROOT, Node, start_node

from bench.faults.rows import Figure, Row
from bench.faults.world import World, answered, is_ready, seconds_until

DISK_MIB = 120
ORIGIN = "http://127.0.0.1:8000"


class Disk:
    """A small file system in a namespace of its own, so that mounting it needs no root. Ended with `world`."""

    def __init__(self, world: World) -> None:
        self._at = world.folder / "disk"
        self._at.mkdir()
        script = f"mount -t tmpfs -o size={DISK_MIB}m tmpfs {self._at} && echo mounted && exec sleep infinity"
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        self._holder = subprocess.Popen(  # noqa: S603 - a command of ours
            command, stdout=subprocess.PIPE, start_new_session=True
        )
        world.stack.callback(self._holder.wait)
        world.stack.callback(self._holder.send_signal, signal.SIGKILL)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n", "no file system can be mounted here without root"

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one where this file system is."""
        return ("nsenter", "--target", str(self._holder.pid), "--user", "--mount", "--preserve-credentials")

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a node whose data is on it."""
        return environ_of(self._at / "data")

    def run(self, *command: str) -> None:
        """Run a command as root of its namespace."""
        subprocess.run([*self.within, *command], check=True)  # noqa: S603 - a command of ours

    def fill(self) -> None:
        """Write until nothing more fits."""
        junk = self._seen_from_outside / "junk"
        with suppress(OSError), junk.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def free(self) -> None:
        """Make room again."""
        (self._seen_from_outside / "junk").unlink()

    def remount(self, how: str) -> None:
        """Make it `ro` or `rw`."""
        self.run("mount", "-o", f"remount,{how}", str(self._at))

    @property
    def _seen_from_outside(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{self._at}")


def environ_of(data: Path) -> dict[str, str]:
    """The environment of a node with embedded services."""
    return bare_environ(VIGIL_DATA_DIR=str(data), VIGIL_PORT="0", VIGIL_PUBLIC_URL=ORIGIN, VIGIL_RATE_LIMITS="off")


async def full(world: World) -> list[Figure]:
    """Fill the disk while users log in; make room; restart."""
    disk = Disk(world)
    node = await start(world, disk)
    api = world.on(node)
    email = await api.register_by_mail()
    disk.fill()
    logins: list[Login] = []
    refused = 0
    for _ in range(world.scaled(60)):
        try:
            logins.append(await api.login(email))
        except AssertionError:
            refused += 1
    ended = logins[len(logins) // 2 :]
    for login in ended:
        assert (await revoke(logins[0], login)).status in {200, 404}
    is_logged = any("redis_refuses" in line for line in node.log)
    await asyncio.to_thread(disk.free)
    ready = await seconds_until(is_ready(world, node), "the node is ready")
    status = await asyncio.to_thread(node.stop)
    again = world.on(await start(world, disk))
    lost = wrong = 0
    for login in logins:
        login.api = again
        answer = await answered(login.refresh)
        lost += login not in ended and answer.status != 200
        wrong += login in ended and answer.status == 200
    return [
        Figure("logins on the full disk", len(logins)),
        Figure("refused", refused),
        Figure("refusal of Redis not logged", not is_logged, most=0),
        Figure("ready again after room was made", ready, "s"),
        Figure("exit status at its stop", status, most=0),
        Figure("sessions lost by a restart", lost, most=0),
        Figure(f"revoked sessions that came back (of {len(ended)})", wrong, most=0),
    ]


async def revoke(by: Login, login: Login) -> Answer:
    """End a session."""
    return await answered(lambda: by.call("DELETE", f"/sessions/{login.session_id}"))


async def start(world: World, disk: Disk) -> Node:
    """Start a node whose data is on the disk."""
    node = await asyncio.to_thread(start_node, disk.environ, within=disk.within)
    world.nodes.append(node)
    world.stack.callback(node.stop)
    await seconds_until(is_ready(world, node), "the node is ready")
    return node


async def read_only(world: World) -> list[Figure]:
    """Start on a file system that is read-only, and on one that is full."""
    disk = Disk(world)
    node = await start(world, disk)
    login = await world.on(node).login(await world.on(node).register_by_mail())
    await asyncio.to_thread(node.stop)
    figures = []
    for what in ("read-only", "full"):
        if what == "full":
            await asyncio.to_thread(disk.fill)
        else:
            disk.remount("ro")
        begun = time.monotonic()
        command = [*disk.within, sys.executable, str(ROOT / "server.py")]
        ended = await asyncio.to_thread(
            subprocess.run, command, env=disk.environ, capture_output=True, text=True, timeout=120, check=False
        )
        lines = ended.stderr.splitlines()
        figures += [
            Figure(f"{what}: refused in", time.monotonic() - begun, "s"),
            Figure(f"{what}: other than one line", abs(len(lines) - 1), most=0),
        ]
        disk.remount("rw")
    await asyncio.to_thread(disk.free)
    login.api = world.on(await start(world, disk))
    figures.append(Figure("sessions lost", (await login.refresh()).status != 200, most=0))
    return figures


async def second(world: World) -> list[Figure]:
    """Start a second server on a data directory that is in use."""
    environ = environ_of(world.folder / "data")
    node = await asyncio.to_thread(start_node, environ)
    world.nodes.append(node)
    world.stack.callback(node.stop)
    login = await world.on(node).login(await world.on(node).register_by_mail())
    ended = [await asyncio.to_thread(run_command, environ=environ) for _ in range(3)]
    named = sum(
        each.status == 2
        and each.err.startswith("vigil: the data directory is in use by process ")
        and len(each.err.splitlines()) == 1
        for each in ended
    )
    return [
        Figure("starts", len(ended)),
        Figure("not refused with one line", len(ended) - named, most=0),
        Figure("sessions of the first lost", (await login.refresh()).status != 200, most=0),
    ]


DIRECTORY_ROWS = [
    Row(
        "disk-full",
        "the disk of the embedded services is full while users log in and sessions are ended; then there is room",
        "what was acknowledged is there after a restart; no revoked session comes back",
        "MongoDB goes on while it can. Redis refuses writes and counts as down, which the log says.",
        full,
    ),
    Row(
        "data-read-only",
        "a start on a data directory that is read-only, or whose disk is full",
        "one clear line; nothing corrupted",
        "The start is refused.",
        read_only,
    ),
    Row(
        "second-start",
        "a second start on one data directory",
        "one clear line; the first is not disturbed",
        "The directory is locked by the first, whose process the line names.",
        second,
    ),
]
