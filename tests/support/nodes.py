"""Starts and stops Vigil nodes in separate processes."""

import atexit
import functools
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
from pymongo import MongoClient

from support.node_forks import ForkedProcess
from support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server.py"
# An application whose events inspect a node.
PROBE = "tests/realtime/apps/probe.py:probe"
START_SECONDS = 90
SECRET = "tests-only-" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class ServiceUrls:
    mongo: str
    redis: str

    @property
    def patient_mongo(self) -> str:
        """The URL of MongoDB for stores in a test's own process: they wait on a busy machine."""
        url, _, query = self.mongo.partition("?")
        return f"{url}?{query}{'&' if query else ''}timeoutMS=60000&waitQueueTimeoutMS=60000"


@dataclass
class Node:
    """A running node with its log lines."""

    process: subprocess.Popen[bytes] | ForkedProcess
    url: str
    # MongoDB's URL and the name of the database; None for a node that is started by the command line.
    database: tuple[str, str] | None = None
    log: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return self.url

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout: float = 12) -> int:
        """Send SIGTERM; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def text(self) -> str:
        return "\n".join(self.log)

    async def logged(self, *texts: str, after: int = 0, timeout: float = 30) -> list[str]:
        """Wait for log lines, from number `after` on, that contain all of `texts`; return them.

        Log lines may arrive shortly after the response to the logged request.
        """

        async def found() -> list[str]:
            return [line for line in self.log[after:] if all(text in line for text in texts)]

        return await eventually(found, f"{texts} in the log", timeout=timeout)


def tracebacks(lines: Iterable[str]) -> list[str]:
    """Return lines with tracebacks, except those of the probe application's hooks that fail on purpose."""
    return [line for line in lines if "Traceback" in line and "a hook of the application that fails" not in line]


@dataclass(frozen=True)
class Installation:
    """Nodes that share one database, one Redis prefix and one secret."""

    services: ServiceUrls
    # Whether nodes are started by the command line, with real password costs, instead of being forked.
    is_as_shipped: bool = False
    name: str = field(default_factory=lambda: f"test{secrets.token_hex(6)}")

    def environ(self, **settings: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("VIGIL_")}
        return kept | {
            "VIGIL_MONGO_URL": self.services.mongo,
            "VIGIL_MONGO_DATABASE": self.name,
            "VIGIL_REDIS_URL": self.services.redis,
            "VIGIL_REDIS_PREFIX": self.name,
            "VIGIL_SECRET_KEY": SECRET,
            "VIGIL_PORT": "0",
            "VIGIL_PUBLIC_URL": "http://127.0.0.1:8000",
            "VIGIL_DEV_OUTBOX": "on",
            "VIGIL_RATE_LIMITS": "off",
            # Receivers of webhooks are processes on this machine.
            "VIGIL_WEBHOOKS_PRIVATE": "on",
            **settings,
        }

    def start(self, *arguments: str, **settings: str) -> Node:
        """Start a node and wait until it listens."""
        return start_node(self.environ(**settings), *arguments, is_as_shipped=self.is_as_shipped)


def start_node(
    environ: Mapping[str, str], *arguments: str, is_as_shipped: bool = True, within: Sequence[str] = ()
) -> Node:
    """Start a node with exactly `environ`, by `server.py` or forked. Raises `AssertionError` with its log.

    `within`: a command that runs `server.py`.
    """
    output, node_output = os.pipe()
    process: subprocess.Popen[bytes] | ForkedProcess
    if is_as_shipped:
        process = subprocess.Popen(
            [*within, sys.executable, str(SERVER), *arguments],
            env=dict(environ),
            cwd=ROOT,
            stdout=node_output,
            stderr=node_output,
            start_new_session=True,
        )
    else:
        process = ForkedProcess(arguments, environ, node_output, node_output)
    os.close(node_output)
    node = Node(process, "")
    if not is_as_shipped:
        node.database = environ["VIGIL_MONGO_URL"], environ["VIGIL_MONGO_DATABASE"]
    listening = threading.Event()

    def read() -> None:
        with open(output, encoding="utf-8") as lines:
            for line in lines:
                node.log.append(line.rstrip("\n"))
                if line.startswith("listening on "):
                    node.url = line.removeprefix("listening on ").strip()
                    listening.set()
        listening.set()

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    listening.wait(START_SECONDS)
    if not node.url:
        process.kill()
        process.wait()
        reading.join(1)
        raise AssertionError("the node did not start:\n" + node.text())
    _started[node.url] = node
    return node


# The last node that was started at each URL.
_started: dict[str, Node] = {}


def node_at(url: str) -> Node | None:
    """Return the node that this process started and that now listens at `url`."""
    node = _started.get(url)
    return node if node is not None and node.process.poll() is None else None


@functools.cache
def mongo_client(url: str) -> MongoClient[Any]:
    """Return this process's client of a MongoDB: opening one costs more than most of its uses."""
    client = MongoClient[Any](url)
    atexit.register(_close, client)
    return client


def _close(client: MongoClient[Any]) -> None:
    """Close a client whose MongoDB may have stopped, without waiting half a minute for it."""
    with pymongo.timeout(0.5):
        client.close()


def drop(services: ServiceUrls, database: str) -> None:
    """Drop a test's database."""
    mongo_client(services.mongo).drop_database(database)


@contextmanager
def probed_node(services: ServiceUrls) -> Iterator[Node]:
    """Run a separate node with the probe application. Afterwards assert that it stops cleanly."""
    installation = Installation(services)
    node = installation.start(VIGIL_APPLICATION=PROBE)
    yield node
    assert node.stop() == 0
    drop(services, installation.name)


@contextmanager
def pair_of_nodes(installation: Installation, **settings: str) -> Iterator[tuple[Node, Node]]:
    """Run two nodes. Afterwards assert that they stop cleanly, and drop their database."""
    with ThreadPoolExecutor(2) as starters:
        first, second = starters.map(lambda _: installation.start(**settings), range(2))
    yield first, second
    assert [first.stop(), second.stop()] == [0, 0]
    drop(installation.services, installation.name)
