"""Child processes of a run: pinned to cores, monitored, and terminated with the run, however it ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from bench.client import LoadError

START_SECONDS = 60.0
STOP_SECONDS = 12.0
KEPT_LINES = 40
MAX_LINE = 1 << 20
PR_SET_PDEATHSIG = 1


class Child:
    """A running process and the last lines of its output."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def wait_for(self, begins: str) -> str:
        """Wait for a line that begins with `begins`; return its rest. Raises `LoadError` with the output."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                async for line in _lines(self._process.stdout):
                    if line.startswith(begins):
                        return line.removeprefix(begins).strip()
                    self._lines.append(line)
        except TimeoutError:
            pass
        raise LoadError(f"{self._name} did not start:\n" + "\n".join(self._lines))

    def follow(self) -> None:
        """Keep reading, so that the process never blocks on its output."""
        self._reading = asyncio.create_task(self._read())

    def said(self) -> str:
        """Return the last lines of the output."""
        return "\n".join(self._lines)

    def check(self) -> None:
        """Raise `LoadError` if the process has ended."""
        if self._process.returncode is not None:
            raise LoadError(f"{self._name} ended with {self._process.returncode}:\n{self.said()}")

    async def stop(self) -> None:
        """Terminate the process; kill it if it does not end within `STOP_SECONDS`."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
        finally:
            if self._reading is not None:
                self._reading.cancel()
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            self._lines.append(line)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    async for line in stream:
        yield line.decode(errors="replace").rstrip("\n")


async def spawn(
    command: Sequence[str], *, name: str, environ: Mapping[str, str], cores: frozenset[int], cwd: Path
) -> Child:
    """Start a process on the given cores."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=MAX_LINE,
            start_new_session=True,
            preexec_fn=_settle_in(cores),
        )
    except FileNotFoundError as error:
        raise LoadError(f"{name}: there is no {command[0]}") from error
    return Child(process, name)


async def run(
    command: Sequence[str],
    *,
    name: str,
    environ: Mapping[str, str],
    cores: frozenset[int],
    cwd: Path,
    stdin: str = "",
    timeout: float = 300,
) -> str:
    """Run a command to completion; return its standard output. Raises `LoadError` if it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=dict(environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_settle_in(cores),
        )
    except FileNotFoundError as error:
        raise LoadError(f"{name}: there is no {command[0]}") from error
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate(stdin.encode())
    except (TimeoutError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if isinstance(error, TimeoutError):
            raise LoadError(f"{name} took more than {timeout:.0f} s") from None
        raise
    if process.returncode != 0:
        raise LoadError(f"{name} ended with {process.returncode}:\n{errors.decode(errors='replace')[-2000:]}")
    return output.decode()


def _settle_in(cores: frozenset[int]) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def settle_in() -> None:
        os.sched_setaffinity(0, cores)
        # Terminates the child if the run itself is killed.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return settle_in
