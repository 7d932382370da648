"""Runs several nodes on one port: the kernel distributes connections over the processes (SO_REUSEPORT)."""

import asyncio
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

from auth.platform.metrics import SHARED_DIRECTORY
from auth.platform.settings.settings import SettingsError

RESTART_SECONDS = 1.0
STOP_SECONDS = 9.0

log = structlog.get_logger()


def reserve_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """Bind a socket without listening, so that the port number is known before anything depends on it.

    `shared`: other processes may bind the port too. Raises `SettingsError` if the address cannot be bound.
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
    """Run `count` workers until `stop`, restarting those that die. They share metrics (metrics.py).

    Prints the first worker's line once all workers are ready. The first worker starts alone, so that an error
    common to all is reported once.
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
                return 2  # the worker has printed the reason
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
    """Wait for the first of `tasks`. Raises a keeper's exception; keepers end only with one."""
    await asyncio.wait({*tasks, *keepers}, return_when=asyncio.FIRST_COMPLETED)
    for keeper in keepers:
        if keeper.done():
            keeper.result()


async def until_parent_is_gone() -> None:
    """Wait for the end of standard input, which the kernel closes when the parent ends."""
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
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops its workers
        )
        try:
            assert worker.stdout is not None
            line = (await worker.stdout.readline()).decode().strip()
            if not started_once:
                ready.put_nowait(line or None)
                started_once = bool(line)
            status = await worker.wait()
            # Remove the dead worker's gauges, such as its number of sockets.
            mark_process_dead(worker.pid, environ[SHARED_DIRECTORY])  # type: ignore[no-untyped-call]
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
