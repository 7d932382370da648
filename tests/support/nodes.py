"""Vigil as its users run it: `python server.py` in a process of its own."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server.py"
# The same but for what a password costs.
QUICK_SERVER = ROOT / "tests/support/quick_server.py"
# An application whose events look into a node.
PROBE = "tests/realtime/apps/probe.py:probe"
START_SECONDS = 40
SECRET = "tests-only-" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class ServiceUrls:
    mongo: str
    redis: str


@dataclass
class Node:
    """One running node; its log is kept line by line."""

    process: subprocess.Popen[str]
    url: str
    log: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return self.url

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout: float = 12) -> int:
        """SIGTERM, and how it exits."""
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


@dataclass(frozen=True)
class Installation:
    """Nodes that share one database, one Redis prefix and one secret."""

    services: ServiceUrls
    entry: Path = SERVER
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
            **settings,
        }

    def start(self, *arguments: str, **settings: str) -> Node:
        """Start a node and wait until it says that it listens."""
        return start_node(self.environ(**settings), *arguments, entry=self.entry)


def start_node(environ: Mapping[str, str], *arguments: str, entry: Path = SERVER) -> Node:
    """Run `server.py`, or another `entry` to it, with exactly `environ`; raises with its log if that fails."""
    process = subprocess.Popen(
        [sys.executable, str(entry), *arguments],
        env=dict(environ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    node = Node(process, "")
    listening = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                node.log.append(line.rstrip("\n"))
                if line.startswith("listening on "):
                    node.url = line.removeprefix("listening on ").strip()
                    listening.set()
        listening.set()

    threading.Thread(target=read, daemon=True).start()
    listening.wait(START_SECONDS)
    if not node.url:
        process.kill()
        time.sleep(0.1)
        raise AssertionError("the node did not start:\n" + node.text())
    return node


def drop(services: ServiceUrls, database: str) -> None:
    """Remove a database that was a test's own."""
    with MongoClient(services.mongo, serverSelectionTimeoutMS=5000) as client:
        client.drop_database(database)


@contextmanager
def probed_node(services: ServiceUrls) -> Iterator[Node]:
    """A node of its own with the probe application; whatever was done to it, it stops as it should."""
    installation = Installation(services, QUICK_SERVER)
    node = installation.start(VIGIL_APPLICATION=PROBE)
    yield node
    assert node.stop() == 0
    drop(services, installation.name)
