"""Runs several nodes on one port: the kernel distributes connections over the processes (SO_REUSEPORT)."""

import asyncio
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

from auth.platform.metrics import SHARED_DIRECTORY
from auth.platform.settings.settings import SettingsError

# The time until a dead worker is started again doubles from the first to the second, unless it had lived for long.
RESTART_SECONDS, MOST_RESTART_SECONDS = 1.0, 30.0
STEADY_SECONDS = 60.0
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
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"cannot listen on {host}:{port} (VIGIL_HOST, VIGIL_PORT): {reason}") from None
    return listener


async def run_workers(
    command: Sequence[str],
    environ: Mapping[str, str],
    count: int,
    *,
    stop: asyncio.Event,
    reload: asyncio.Event,
) -> int:
    """Run `count` workers until `stop`, restarting those that die. They share metrics (metrics.py).

    Prints the first worker's line once all workers are ready. The first worker starts alone, so that an error
    common to all is reported once. Each `reload` replaces all workers, one after another.
    """
    ready: asyncio.Queue[str | None] = asyncio.Queue()
    keepers = [_Keeper(command, environ, ready) for _ in range(count)]
    running = [asyncio.create_task(keepers[0].run())]
    stopping = asyncio.create_task(stop.wait())
    try:
        for number in range(count):
            line = asyncio.create_task(ready.get())
            await _first({line, stopping}, running)
            if not line.done():
                line.cancel()
                return 0
            if line.result() is None:
                return 2  # the worker has printed the reason
            if number == 0:
                running += [asyncio.create_task(keeper.run()) for keeper in keepers[1:]]
            if number == count - 1:
                print(line.result(), flush=True)
        running.append(asyncio.create_task(_replace_all(keepers, reload)))
        await _first({stopping}, running)
        return 0
    finally:
        stopping.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _replace_all(keepers: Sequence["_Keeper"], reload: asyncio.Event) -> None:
    while True:
        await reload.wait()
        reload.clear()
        replaced = [await keeper.replace() for keeper in keepers]
        log.info("workers_replaced", replaced=sum(replaced), workers=len(keepers))


async def _first(tasks: set[asyncio.Task[Any]], running: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the first of `tasks`. Raises the exception of a task in `running`, which end only with one."""
    await asyncio.wait({*tasks, *running}, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        if task.done():
            task.result()


async def until_parent_is_gone() -> None:
    """Wait for the end of standard input, which the kernel closes when the parent ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


class _Keeper:
    """Keeps one worker running."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], ready: asyncio.Queue[str | None]
    ) -> None:
        self._command = command
        self._environ = dict(environ)
        self._ready = ready
        self._alive: set[asyncio.subprocess.Process] = set()
        self._worker: asyncio.subprocess.Process | None = None
        # Held while a worker takes the place of another.
        self._changing = asyncio.Lock()

    async def run(self) -> None:
        """Start a worker, and another whenever it has died: at once twice as late each time, unless it had
        lived for a minute. Puts the first worker's line into `ready`, None for one that ended before it.
        """
        delay = RESTART_SECONDS
        try:
            self._worker, line = await self._start()
            self._ready.put_nowait(line)
            if line is None:
                # It has printed why; its parent ends too, and cancels this.
                await asyncio.Future()
            while True:
                worker, begun = self._worker, time.monotonic()
                status = await worker.wait()
                self._forget(worker)
                async with self._changing:
                    if self._worker is not worker:
                        continue  # replaced
                    delay = RESTART_SECONDS if time.monotonic() - begun > STEADY_SECONDS else delay
                    log.error("worker_died", pid=worker.pid, status=status, restart_seconds=delay)
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, MOST_RESTART_SECONDS)
                    self._worker, _ = await self._start()
        finally:
            await asyncio.gather(*map(_end, self._alive))

    async def replace(self) -> bool:
        """Start another worker and, once it serves, drain this one. False if it does not start: this one stays."""
        async with self._changing:
            fresh, line = await self._start()
            if line is None:
                log.error("worker_not_replaced", status=await fresh.wait())
                self._forget(fresh)
                return False
            replaced, self._worker = self._worker, fresh
        if replaced is not None:
            await _end(replaced)
        return True

    async def _start(self) -> tuple[asyncio.subprocess.Process, str | None]:
        """Start a worker; return it and its line, None if it ended before it."""
        worker = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops its workers
        )
        self._alive.add(worker)
        assert worker.stdout is not None
        return worker, (await worker.stdout.readline()).decode().strip() or None

    def _forget(self, worker: asyncio.subprocess.Process) -> None:
        self._alive.discard(worker)
        # Remove the dead worker's gauges, such as its number of sockets.
        mark_process_dead(worker.pid, self._environ[SHARED_DIRECTORY])  # type: ignore[no-untyped-call]


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
