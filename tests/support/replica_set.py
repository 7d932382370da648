"""A MongoDB replica set of three members, any of which a test can kill."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from runtime.embedded.services import _MONGOD, _find, _mongod_options
from support.ports import free_ports
from support.waiting import eventually

KEY = "testsonly" + "0123456789abcdef" * 2  # base64, as a key file has to be
OPTIONS = "authSource=local&authMechanism=SCRAM-SHA-256"
# An election within two seconds, as on a fast network, instead of twelve.
ELECTION = {"electionTimeoutMillis": 1500, "heartbeatIntervalMillis": 300, "heartbeatTimeoutSecs": 1}


@dataclass
class ReplicaSet:
    """Three members, by port."""

    folder: Path
    members: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.members)
        return f"mongodb://__system:{KEY}@{hosts}/vigil?replicaSet=rs0&{OPTIONS}"

    def client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.url, serverSelectionTimeoutMS=30_000, tz_aware=True)

    async def start(self) -> None:
        """Start the members, and wait until one is primary and all have its data."""
        binary = await _find(_MONGOD)
        key_file = self.folder / "key"
        key_file.touch(0o600)
        key_file.write_text(KEY)
        for port in free_ports(3):
            directory = self.folder / str(port)
            directory.mkdir()
            with (self.folder / f"{port}.log").open("wb") as log:
                command = [str(binary), *_mongod_options(directory, key_file, port)]
                self.members[port] = subprocess.Popen(command, stdout=log, stderr=log)
        members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self.members)]
        config = {"_id": "rs0", "members": members, "settings": ELECTION}
        await eventually(lambda: asyncio.to_thread(self._initiate, config), "the set is initiated", timeout=60)
        await eventually(lambda: asyncio.to_thread(self._is_whole), "all members have the data", timeout=60)

    def primary(self, other_than: int = 0) -> int | None:
        """The port of the primary, by what the members say of themselves."""
        for port, process in self.members.items():
            if process.poll() is None and port != other_than:
                try:
                    with self._direct(port) as client:
                        if client.admin.command("hello")["isWritablePrimary"]:
                            return port
                except PyMongoError:
                    continue
        return None

    def kill(self, port: int) -> None:
        """Kill a member, as a failure of its machine would."""
        os.kill(self.members[port].pid, signal.SIGKILL)
        self.members[port].wait()

    def freeze(self, port: int) -> None:
        """Stop a member, as a network does that loses every packet from and to it."""
        self.members[port].send_signal(signal.SIGSTOP)

    def thaw(self, port: int) -> None:
        self.members[port].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for process in self.members.values():
            process.kill()
            process.wait()

    def _direct(self, port: int) -> MongoClient[dict[str, Any]]:
        url = f"mongodb://__system:{KEY}@127.0.0.1:{port}/?directConnection=true&{OPTIONS}"
        return MongoClient(url, serverSelectionTimeoutMS=1000)

    def _initiate(self, config: dict[str, Any]) -> bool:
        with self._direct(next(iter(self.members))) as client:
            try:
                client.admin.command("replSetInitiate", config)
            except OperationFailure as error:
                return error.code == 23  # AlreadyInitialized
            except PyMongoError:
                return False
            return True

    def _is_whole(self) -> bool:
        if self.primary() is None:
            return False
        try:
            with self.client() as client:
                states = [each["stateStr"] for each in client.admin.command("replSetGetStatus")["members"]]
        except PyMongoError:
            return False
        return sorted(states) == ["PRIMARY", "SECONDARY", "SECONDARY"]


@contextmanager
def replica_set(folder: Path) -> Iterator[ReplicaSet]:
    """Run a replica set in `folder`."""
    members = ReplicaSet(folder)
    try:
        asyncio.run(members.start())
        yield members
    finally:
        members.stop()
