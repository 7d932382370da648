"""Runs one server as a child process: port selection, start, stop, and errors with the last log line.

The child runs in its own session, so that Ctrl-C in a terminal reaches only its owner. The kernel terminates it
when the thread that started it ends; an orphan that survives is terminated by the next owner.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import random
import re
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from pymongo.errors import PyMongoError

from auth.core.errors import StartRefused
from runtime.private_files import write_private

_logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
# Below Linux's default range for outgoing connections, which could occupy a port that we want to reuse.
_PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 3
_POLL_SECONDS = 0.01
# Allows for recovery after a crash on a slow disk, and for the 30 s for which MongoDB, if its port is taken by a
# process that accepts connections but never answers, tries to find out whether that process is itself.
_START_SECONDS = 60.0
_STOP_SECONDS = 4.0
_LOG_TAIL_BYTES = 65_536

# Runs in the child, then execs the server. The kernel sends the signal when the thread that started the child
# ends. A parent that died before the prctl call is detected by a changed parent id.
_EXEC_AS_DEPENDANT = """
import ctypes, os, signal, sys
os.umask(0o077)
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

# Other variables, some of which hold secrets, are not passed to the servers.
_INHERITED_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")


class EmbeddedError(StartRefused):
    """The services cannot be started; the message is one line for the user."""


class Child:
    """One server process with its log, port file and pid file."""

    def __init__(self, directory: Path, *, marker: str) -> None:
        """`marker`: a command-line argument that no other process has."""
        self._name = directory.name
        self._marker = marker
        self._log = directory.with_suffix(".log")
        self._pid_file = directory.with_suffix(".pid")
        self._port_file = directory.with_suffix(".port")
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(
        self, command: Callable[[int], list[str]], *, answers: Callable[[int], Awaitable[bool]]
    ) -> int:
        """Start the server on its previous port if free, else on another; return the port."""
        await self._end_orphan()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = _free_port(preferred=_read_number(self._port_file))
            process = await self._spawn(command(port))
            try:
                await self.until(lambda port=port: answers(port))  # type: ignore[misc]
            except EmbeddedError:
                # Another process took the port between our check and the server's bind.
                if attempt == _PORT_ATTEMPTS or "Address already in use" not in self._log_text():
                    raise
                continue
            break
        write_private(self._port_file, str(port))
        self._watch = asyncio.create_task(self._report_its_end(process))
        return port

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait for `ready`. Raises `EmbeddedError` with the last log line if the child ends or takes too long."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while self._process.returncode is None:
                    with contextlib.suppress(OSError, PyMongoError):
                        if await ready():
                            return
                    await asyncio.sleep(_POLL_SECONDS)
        how = ending(self._process.returncode) if self._process.returncode is not None else "is not ready"
        raise EmbeddedError(f"{self._name} {how}: {last_words(self._log_text())} ({self._log})")

    async def stop(self) -> None:
        """Terminate the process; kill it after four seconds."""
        if self._watch is not None:
            self._watch.cancel()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            # A preexec_fn would run Python between fork and exec of a process with threads.
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _EXEC_AS_DEPENDANT, str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ},
                start_new_session=True,
            )
        finally:
            os.close(log)
        write_private(self._pid_file, str(self._process.pid))
        return self._process

    async def _report_its_end(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        _logger.error("%s %s: %s (%s)", self._name, ending(code), last_words(self._log_text()), self._log)

    async def _end_orphan(self) -> None:
        """Terminate a server whose owner is gone; safe, since we hold the directory's lock."""
        pid = _read_number(self._pid_file)
        for order in (signal.SIGTERM, signal.SIGKILL):
            if pid is None or not await _runs(pid, self._marker):
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, order)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    while await _runs(pid, self._marker):  # noqa: ASYNC110 - no event for what is not our child
                        await asyncio.sleep(_POLL_SECONDS)

    def _log_text(self) -> str:
        """Return the end of the log; reading a whole log of weeks would block the event loop."""
        return _read_bytes(self._log, last=_LOG_TAIL_BYTES).decode(errors="replace")


# The data directory, ports and processes


def lock_directory(data_dir: Path) -> int:
    """Lock the directory and return the lock's descriptor. Raises `EmbeddedError` if it is already locked."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise EmbeddedError(f"the data directory is in use by process {owner} ({data_dir})") from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def private_directory(path: Path) -> Path:
    """Create the directory if needed, accessible only to its owner."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def kept_secret(path: Path) -> str:
    """Return the secret in the file, generating it on the first call."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text()


def _read_bytes(path: Path, *, last: int | None = None) -> bytes:
    with contextlib.suppress(OSError), path.open("rb") as file:
        if last is not None:
            file.seek(max(0, path.stat().st_size - last))
        return file.read()
    return b""


def _read_number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _free_port(*, preferred: int | None) -> int:
    candidates = random.sample(_PORTS, 100)
    for port in [preferred, *candidates] if preferred else candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            probe.bind((HOST, port))
            return port
    raise EmbeddedError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


async def _runs(pid: int, marker: str) -> bool:
    """Whether the process has `marker` among its arguments. The id alone is not enough, since ids are reused."""
    if sys.platform == "linux":
        return os.fsencode(marker) in _read_bytes(Path(f"/proc/{pid}/cmdline")).split(b"\0")
    _, output = await output_of("ps", "-o", "args=", "-p", str(pid))
    return marker in output


async def output_of(*command: str) -> tuple[int, str]:
    """Run a command; return its exit status and output. The status is 127 if it cannot be run."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return 127, str(error)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


# Log messages


def ending(code: int) -> str:
    """Describe how a process ended."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def last_words(log: str) -> str:
    """Return the last relevant line of a log as plain text: MongoDB logs JSON, Redis text."""
    lines = [line for line in log.splitlines() if line.strip()]
    severe = [line for line in lines if re.search(r'"s":"[EF]"|^\d+:\w+ .* # ', line)]
    line = (severe or lines or ["nothing in its log"])[-1]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        entry = json.loads(line)
        detail = entry.get("attr", {}).get("error", "")
        line = f"{entry['msg']}: {detail}" if detail else entry["msg"]
    return re.sub(r"^\d+:\w+ .*? # ", "", line).strip()[:300]
