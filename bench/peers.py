"""The compared servers. Each has a command to serve, one to seed its database and one to mint tokens.

All get the same environment (`BENCH_…`), MongoDB and Redis, with a separate database each.
"""

import json
import os
import secrets
import shlex
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import redis.asyncio
from pymongo import AsyncMongoClient

from bench.accounting import Cores
from bench.client import LoadError
from bench.processes import Child, run, spawn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NODE_FOLDER = HERE / "peer-node"
PASSWORD = "bench-password-8341"  # noqa: S105 - of test users in a temporary database
INSTALL_SECONDS = 600.0
TOKEN_SECONDS = 900
ONLY_VIGIL = frozenset({"flood_1", "flood_50", "webhook_request", "webhook_relay", "webhook_beside"}) | {
    "handshake_beside"
}
OWN_SETTINGS = ("VIGIL_", "BENCH_")


@dataclass(frozen=True, slots=True)
class Peer:
    """One server to be measured. `skips`: scenarios not measured on it."""

    name: str
    title: str
    folder: Path
    serve: tuple[str, ...]
    seed: tuple[str, ...]
    mint: tuple[str, ...]
    argon2: tuple[str, ...]
    skips: frozenset[str] = frozenset()
    # Prints a new server key; none without a server API.
    issue_key: tuple[str, ...] = ()
    # Serves the server API, if its nodes do not.
    backend: tuple[str, ...] = ()
    # Whether its server supports profiling (sampler.py).
    samples: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """URLs of the MongoDB and Redis shared by all peers."""

    mongo_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Login:
    """A seeded session and its tokens."""

    user_id: str
    email: str
    session_id: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Server:
    """One running process of a peer."""

    child: Child
    host: str
    port: int


def python_peer(name: str, title: str, folder: Path, prefix: str, skips: frozenset[str] = frozenset()) -> Peer:
    """Return a peer whose three commands are Python files in `folder`."""
    python = sys.executable
    serve, seed, mint = ((python, str(folder / f"{prefix}_{part}.py")) for part in ("server", "seed", "mint"))
    return Peer(name, title, ROOT, serve, seed, mint, (python, str(HERE / "argon2_cost.py")), skips)


def vigil_peer() -> Peer:
    """Return Vigil."""
    peer = python_peer("vigil", "Vigil", HERE / "peer_vigil", "vigil")
    issue_key = (*peer.serve, "server-keys", "create", "bench", "--scopes", "emit")
    return replace(peer, issue_key=issue_key, samples=True)


def node_peer() -> Peer:
    """Return the Node peer. Its commands are the scripts of its package.json, run without npm."""
    scripts = json.loads((NODE_FOLDER / "package.json").read_text())["scripts"]
    serve, seed, mint, issue_key, backend = (
        tuple(shlex.split(scripts[name])) for name in ("start", "seed", "mint", "issue-key", "backend")
    )
    argon2 = ("node", str(HERE / "argon2_cost.cjs"), str(NODE_FOLDER))
    return Peer("node", "Node", NODE_FOLDER, serve, seed, mint, argon2, ONLY_VIGIL, issue_key, backend)


async def install_node_peer(cores: Cores) -> None:
    """Install the Node peer's packages on first use. Raises `LoadError` if a tool or file is missing."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise LoadError(f"{tool} is missing: install Node.js 20 or newer, or use --peers vigil,stock")
    if not (NODE_FOLDER / "package-lock.json").is_file():
        raise LoadError("bench/peer-node is missing: use --peers vigil,stock")
    installed, wanted = NODE_FOLDER / "node_modules/.package-lock.json", NODE_FOLDER / "package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= wanted.stat().st_mtime:
        return
    await run(
        ("npm", "ci", "--no-audit", "--no-fund"),
        name="npm ci",
        environ=os.environ,
        cores=cores.load | cores.server,
        cwd=NODE_FOLDER,
        timeout=INSTALL_SECONDS,
    )


@asynccontextmanager
async def running_services(folder: Path, cores: Cores) -> AsyncIterator[Services]:
    """Run the embedded MongoDB and Redis on the load's cores."""
    child = await spawn(
        (sys.executable, str(ROOT / "server.py"), "services"),
        name="MongoDB and Redis",
        environ=_clean_environ() | {"VIGIL_DATA_DIR": str(folder)},
        cores=cores.load,
        cwd=ROOT,
    )
    try:
        mongo_url = await child.wait_for("VIGIL_MONGO_URL=")
        redis_url = await child.wait_for("VIGIL_REDIS_URL=")
        child.follow()
        yield Services(mongo_url, redis_url)
    finally:
        await child.stop()


@dataclass
class Stand:
    """One peer with a new database, for one group of scenarios."""

    peer: Peer
    services: Services
    cores: Cores
    # Folder for the servers' profiles; None without profiling.
    profiled: Path | None = None
    servers: list[Server] = field(default_factory=list)
    # Processes whose CPU is not that of the servers.
    others: list[Child] = field(default_factory=list)
    _name: str = field(default_factory=lambda: f"bench_{secrets.token_hex(4)}")
    _secret: str = field(default_factory=lambda: secrets.token_hex(32))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in (*(server.child for server in self.servers), *self.others):
            await child.stop()
        client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(self.services.mongo_url)
        await client.drop_database(self._name)
        await client.close()
        async with redis.asyncio.from_url(self.services.redis_url) as keys:
            await keys.flushall()

    @property
    def pids(self) -> list[int]:
        """Process ids of the servers."""
        return [server.child.pid for server in self.servers]

    async def seed(self, users: int, per_user: int) -> list[Login]:
        """Create verified users with live sessions, using the peer's own code."""
        output = await self._run(self.peer.seed, "--users", str(users), "--sessions-per-user", str(per_user))
        logins = [_login(line) for line in output.splitlines() if line.startswith("{")]
        if len(logins) != users * per_user:
            raise LoadError(f"{self.peer.name} seeded {len(logins)} sessions instead of {users * per_user}")
        return logins

    async def mint(self, logins: Sequence[Login], *, seconds: int | None = None) -> list[str]:
        """Mint a new access token for each session."""
        lifetime = () if seconds is None else ("--seconds", str(seconds))
        wanted = [login.session_id for login in logins]
        output = await self._run(self.peer.mint, *lifetime, stdin="\n".join(wanted) + "\n")
        minted = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if [entry["sessionId"] for entry in minted] != wanted:
            raise LoadError(f"{self.peer.name} minted {len(minted)} tokens instead of {len(wanted)}, or others")
        return [entry["accessToken"] for entry in minted]

    async def argon2_seconds(self) -> float:
        """Return the CPU seconds of one password verification with the peer's library, on the server's core."""
        return float(json.loads(await self._run(self.peer.argon2, cores=self.cores.server))["cpuSeconds"])

    async def issue_key(self) -> str:
        """Create a key for the peer's server API."""
        return (await self._run(self.peer.issue_key)).strip()

    async def vigil(self, *command: str) -> str:
        """Run a command of Vigil's `server.py`; return its standard output."""
        return await self._run((*self.peer.serve, *command))

    async def start(self, nodes: int = 1, *, limited: bool = False, jobs: bool = False) -> Server:
        """Start the peer's processes and return the first.

        `limited`: with the peer's default rate limits. `jobs`: with Vigil's background jobs.
        """
        settings = {"BENCH_RATE_LIMITS": "on"} if limited else {}
        if jobs:
            settings["BENCH_JOBS"] = "on"
        for _ in range(nodes):
            await self._serve(self.peer.serve, settings)
        return self.servers[0]

    async def start_backend(self) -> Server:
        """Return the server with the server API: the last one, or the peer's backend, which this starts."""
        if self.peer.backend:
            await self._serve(self.peer.backend, {})
        return self.servers[-1]

    async def start_worker(self) -> Child:
        """Start Vigil's background jobs as a process of their own, on the load's cores."""
        worker = await self._spawn((*self.peer.serve, "worker"), {}, self.cores.load)
        self.others.append(worker)
        await worker.wait_for("working")
        worker.follow()
        return worker

    async def _serve(self, command: Sequence[str], settings: Mapping[str, str]) -> None:
        child = await self._spawn(command, settings, self.cores.server)
        # Registered first, so that it is stopped even if it does not start.
        self.servers.append(Server(child, "", 0))
        url = await child.wait_for("listening on ")
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.servers[-1] = Server(child, host, int(port))
        child.follow()

    async def _spawn(self, command: Sequence[str], settings: Mapping[str, str], cores: frozenset[int]) -> Child:
        environ = {**self._environ(), **settings}
        return await spawn(command, name=self.peer.name, environ=environ, cores=cores, cwd=self.peer.folder)

    def check(self) -> None:
        """Raise `LoadError` if a process has ended."""
        for child in (*(server.child for server in self.servers), *self.others):
            child.check()

    async def _run(
        self, command: Sequence[str], *arguments: str, stdin: str = "", cores: frozenset[int] | None = None
    ) -> str:
        return await run(
            (*command, *arguments),
            name=f"{self.peer.name}: {Path(command[1]).name}",
            environ=self._environ(),
            cores=cores or self.cores.load | self.cores.server,
            cwd=self.peer.folder,
            stdin=stdin,
        )

    def _environ(self) -> dict[str, str]:
        return _clean_environ() | {
            "BENCH_PORT": str(_free_port()),
            "BENCH_TOKEN_SECONDS": str(TOKEN_SECONDS),
            "BENCH_MONGO_URL": self.services.mongo_url,
            "BENCH_REDIS_URL": self.services.redis_url,
            "BENCH_DATABASE": self._name,
            "BENCH_PREFIX": self._name,
            "BENCH_SECRET": self._secret,
            "NODE_ENV": "production",
            "PYTHONPATH": str(ROOT),
            **({"BENCH_PROFILE": str(self.profiled)} if self.profiled else {}),
        }


def _clean_environ() -> dict[str, str]:
    """Return this process's environment without Vigil's and the bench's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _login(line: str) -> Login:
    entry: Mapping[str, str] = json.loads(line)
    return Login(entry["userId"], entry["email"], entry["sessionId"], entry["accessToken"], entry["refreshToken"])
