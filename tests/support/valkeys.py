"""Real Valkey processes on loopback: a master with replicas and sentinels, and a cluster."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.child import _EXEC_AS_DEPENDANT
from runtime.embedded.services import _VALKEY, _find
from support.ports import free_port

HOST = "127.0.0.1"
PASSWORD = "of-tests"  # of servers that only this machine reaches
SERVICE = "vigil"
START_SECONDS = 60
# A master that does not answer for so long is replaced.
DOWN_AFTER_MS = 1000
SLOTS = 16384


def until(check: Callable[[], Any], what: str) -> None:
    """Wait for `check`, which may raise while servers start."""
    end = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if check():
                return
        if time.monotonic() > end:
            raise AssertionError(f"not within {START_SECONDS} s: {what}")
        time.sleep(0.02)  # the servers tell nobody when they are ready


@dataclass(eq=False)
class Valkey:
    """One process. It restarts at the same port with its configuration, and without its data."""

    folder: Path
    port: int
    options: dict[str, str]
    is_sentinel: bool = False
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        configuration = self.folder / "valkey.conf"
        if not configuration.exists():
            lines = {"port": str(self.port), "bind": HOST, "dir": str(self.folder), **self.options}
            configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        command = [str(asyncio.run(_find(_VALKEY))), str(configuration), *(["--sentinel"] * self.is_sentinel)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _EXEC_AS_DEPENDANT, str(os.getpid()), *command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def client(self) -> redis.Redis:
        password = None if self.is_sentinel else PASSWORD
        # A frozen one does not answer.
        return redis.Redis(
            host=HOST, port=self.port, password=password, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def role(self) -> str:
        return str(self.ask("ROLE")[0].decode())


@dataclass
class Servers:
    """Processes that belong together."""

    folder: Path
    every: list[Valkey] = field(default_factory=list)

    def add(self, **options: str) -> Valkey:
        port = free_port()
        named = {name.replace("_", "-"): value for name, value in options.items()}
        made = Valkey(self.folder / str(port), port, named)
        self.every.append(made)
        made.start()
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.every:
            each.kill()


class WatchedMaster(Servers):
    """A master, two replicas and three sentinels."""

    def begin(self) -> Self:
        self.master = self.add(**_data_options())
        others = [self.add(replicaof=f"{HOST} {self.master.port}", **_data_options()) for _ in range(2)]
        self.servers = [self.master, *others]
        until(lambda: len(self.master.ask("ROLE")[2]) == 2, "the replicas follow")
        watching = f"monitor {SERVICE} {HOST} {self.master.port} 2"
        self.sentinels = []
        for _ in range(3):
            sentinel = Valkey(self.folder / f"s{len(self.every)}", free_port(), {}, is_sentinel=True)
            sentinel.folder.mkdir()
            (sentinel.folder / "valkey.conf").write_text(
                f"port {sentinel.port}\nbind {HOST}\ndir {sentinel.folder}\nsentinel {watching}\n"
                f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 3000\n"
            )
            sentinel.start()
            self.every.append(sentinel)
            self.sentinels.append(sentinel)
        for sentinel in self.sentinels:
            until(lambda each=sentinel: self._knows_all(each), "the sentinels know each other")
        return self

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

    def has_successor(self) -> bool:
        """Whether the sentinels call another server the master, and it is one."""
        ports = {int(each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]) for each in self.sentinels}
        return self.master.port not in ports and all(
            each.role == "master" for each in self.servers if each.port in ports
        )

    def _knows_all(self, sentinel: Valkey) -> bool:
        peers = sentinel.ask("SENTINEL", "SENTINELS", SERVICE)
        replicas = sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        return len(peers) == 2 and len(replicas) == 2


class ThreeMasters(Servers):
    """A cluster of three masters with a replica each."""

    def begin(self, *, replicas: bool = True) -> Self:
        options = _data_options() | {
            "cluster_enabled": "yes",
            "cluster_node_timeout": str(DOWN_AFTER_MS),
            "cluster_require_full_coverage": "no",
            "cluster_replica_validity_factor": "0",
        }
        self.masters = [self.add(cluster_port=str(free_port()), **options) for _ in range(3)]
        for each in self.masters:
            until(lambda one=each: one.ask("PING"), "it answers")
        for number, each in enumerate(self.masters):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            each.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            # Otherwise two of them may vote in the same epoch for themselves.
            each.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        self.replicas = [self.add(cluster_port=str(free_port()), **options) for _ in range(3 * replicas)]
        for each in self.every[1:]:
            until(lambda one=each: one.ask("PING"), "it answers")
            self.masters[0].ask("CLUSTER", "MEET", HOST, each.port, each.options["cluster-port"])
        for each in self.every:
            until(lambda one=each: len(one.ask("CLUSTER", "SHARDS")) == len(self.every), "they have met")
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID"))
        for each in self.every:
            until(lambda one=each: self._is_whole(one), "the cluster is whole")
        return self

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.masters)
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def owner(self, slot: int) -> Valkey:
        """The master of a slot, according to a node that answers."""
        for each in self.every:
            with contextlib.suppress(redis.RedisError, OSError):
                for first, last, (_, port, *_), *_ in each.ask("CLUSTER", "SLOTS"):
                    if int(first) <= slot <= int(last):
                        return next(one for one in self.every if one.port == int(port))
        raise AssertionError(f"nobody has slot {slot}")

    def move(self, slot: int, to: Valkey) -> Iterator[None]:
        """Move a slot key by key, as `valkey-cli --cluster reshard` does; stops after each step."""
        source = self.owner(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.ask("CLUSTER", "MYID"))
        yield
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.ask("MIGRATE", HOST, to.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
            yield
        for each in (to, source, *(one for one in self.masters if one is not to and one is not source)):
            with contextlib.suppress(redis.ResponseError):
                each.ask("CLUSTER", "SETSLOT", slot, "NODE", to.ask("CLUSTER", "MYID"))

    def move_at_once(self, slot: int, to: Valkey) -> None:
        """Move a slot with its keys in one step, as Valkey 9 does."""
        source = self.owner(slot)
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.ask("CLUSTER", "MYID"))
        until(lambda: self.owner(slot) is to, f"slot {slot} has moved")

    def _is_whole(self, each: Valkey) -> bool:
        info = each.ask("CLUSTER", "INFO").decode()
        shards = each.ask("CLUSTER", "SHARDS")
        return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info and len(shards) == 3


def _data_options() -> dict[str, str]:
    return {
        "requirepass": PASSWORD,
        "masterauth": PASSWORD,
        "save": '""',
        "appendonly": "no",
        "repl_diskless_sync_delay": "0",
        "repl_backlog_size": "1mb",
    }
