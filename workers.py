"""Several nodes on one port: the kernel spreads connections over processes that share it (SO_REUSEPORT)."""

import asyncio
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from auth.settings import SettingsError

RESTART_SECONDS = 1.0
STOP_SECONDS = 9.0

log = structlog.get_logger()


def reserve_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """A bound socket, not listening yet, so that the port's number is known before anything is built on it.

    `shared`: other processes may bind it, too. Raises `SettingsError` when the address cannot be had.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise SettingsError(f"VIGIL_HOST is wrong: {host!r} is not an address of this machine") from None
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from None
    return listener


async def run_workers(command: Sequence[str], environ: Mapping[str, str], count: int, stop: asyncio.Event) -> int:
    """Run `command` `count` times until `stop`; one that dies is started again.

    Prints the line of the first worker once every worker has said that it is ready. The first starts alone:
    what is wrong is wrong for all of them, and need be said only once.
    """
    ready: asyncio.Queue[str | None] = asyncio.Queue()
    keepers = [asyncio.create_task(_keep(command, environ, ready))]
    stopping = asyncio.create_task(stop.wait())
    try:
        for number in range(count):
            line = asyncio.create_task(ready.get())
            await _first({line, stopping}, keepers)
            if not line.done():
                line.cancel()
                return 0
            if line.result() is None:
                return 2  # the worker has said why
            if number == 0:
                keepers += [asyncio.create_task(_keep(command, environ, ready)) for _ in range(1, count)]
            if number == count - 1:
                print(line.result(), flush=True)
        await _first({stopping}, keepers)
        return 0
    finally:
        stopping.cancel()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _first(tasks: set[asyncio.Task[Any]], keepers: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the first of `tasks`. A keeper ends only by what it could not do, which is raised."""
    await asyncio.wait({*tasks, *keepers}, return_when=asyncio.FIRST_COMPLETED)
    for keeper in keepers:
        if keeper.done():
            keeper.result()


async def until_parent_is_gone() -> None:
    """Wait for the end of standard input, which the parent holds open: the kernel closes it with the parent."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _keep(command: Sequence[str], environ: Mapping[str, str], ready: asyncio.Queue[str | None]) -> None:
    started_once = False
    while True:
        worker = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which stops its workers
        )
        try:
            assert worker.stdout is not None
            line = (await worker.stdout.readline()).decode().strip()
            if not started_once:
                ready.put_nowait(line or None)
                started_once = bool(line)
            status = await worker.wait()
            if started_once:
                log.error("worker_died", pid=worker.pid, status=status)
        finally:
            await _end(worker)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is not None:
        return
    worker.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await worker.wait()
    except TimeoutError:
        worker.kill()
        await worker.wait()
