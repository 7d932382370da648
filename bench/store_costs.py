"""Measures the load of Vigil on Redis and MongoDB, with embedded stores under a real node.

Run: `python -m bench.store_costs [--sessions N] [--at-once N] [--copies N] [--out FILE]`. Writes the JSON that
`python -m bench.capacity --stores FILE` reads.

- CPU of Redis is from `INFO cpu`, CPU of MongoDB from the kernel's accounting; both without the idle load, which
  is measured first.
- Bytes in Redis are `MEMORY USAGE` of keys created by real handshakes; bytes in MongoDB are those of real
  documents, and of indexes over many copies of them.
- Rate limits are enabled, but set too high to be reached: counting costs the same as refusing.
- A node batches concurrent MongoDB operations, so each costs less than a single one. `--at-once 1` measures single
  operations, as on a quiet day; larger values measure a storm. Sockets always close together.
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from auth.core.shards import shard_of
from bench.accounting import cpu_seconds, raise_open_files
from bench.client import LoadError, Socket, connect
from bench.http_scenarios import ActNotice, over
from bench.load import drive
from bench.peers import PASSWORD, ROOT, TOKEN_SECONDS, Login, Server
from bench.processes import spawn
from bench.socket_scenarios import let_in
from bench.store_seeds import ISSUER, SESSIONS_PER_USER, seed
from bench.store_sizes import document_sizes, full_log_size, key_sizes
from bench.web_client import Answer, Connection
from realtime.broker.redis_keys import Keys
from realtime.broker.user_log import LOG_LENGTH
from runtime.embedded.services import EmbeddedError, EmbeddedServices, ServiceUrls

NAME = "capacity"
# Enough for one revocation between two sessions, and for warming up a node.
LEAST_SESSIONS = 16
LIMITS = ("API", "REFRESH", "LOGIN", "LOGIN_IP", "SOCKET_CONNECTS")
IDLE_SECONDS = 10.0
AT_ONCE = 32
WARM = 100
# Few: each Argon2 takes 64 MiB and a core, and evicts the stores' data from the CPU caches.
LOGINS, LOGINS_AT_ONCE = 128, 2
SETTLE_SECONDS = 0.5
# Presence outlives a socket by two seconds.
LEAVE_SECONDS = 4.0

Cost = dict[str, float]


@dataclass
class Gauge:
    """Measures CPU time of both stores, minus their idle load."""

    redis: Redis
    mongo_pid: int
    idle: tuple[float, float] = (0.0, 0.0)
    costs: dict[str, Cost] = field(default_factory=dict)

    async def rest(self) -> None:
        """Measure the idle load of the stores."""
        span, redis_cpu, mongo_cpu = await self._used(asyncio.sleep(IDLE_SECONDS))
        self.idle = redis_cpu / span, mongo_cpu / span

    async def measure(
        self, name: str, count: int, work: Awaitable[object], *, settle: float = SETTLE_SECONDS
    ) -> None:
        """Run `work` and record the cost of each of `count` operations. `settle`: seconds for deferred work."""

        async def all_of_it() -> None:
            await work
            await asyncio.sleep(settle)

        await self.redis.config_resetstat()
        span, redis_cpu, mongo_cpu = await self._used(all_of_it())
        calls = await self.redis.info("commandstats")
        # Noise can make a store appear to use less than its idle load; clamp at 0.
        self.costs[name] = {
            "count": count,
            "redis_cpu_us": max(redis_cpu - self.idle[0] * span, 0) / count * 1e6,
            "mongo_cpu_us": max(mongo_cpu - self.idle[1] * span, 0) / count * 1e6,
        } | {
            f"{command}_calls": round(calls[f"cmdstat_{command}"]["calls"] / count, 2)
            for command in ("evalsha", "rpush", "spublish")
            if f"cmdstat_{command}" in calls
        }
        sys.stderr.write(f"{name}: {self.costs[name]}\n")

    async def _used(self, work: Awaitable[object]) -> tuple[float, float, float]:
        """Run `work`; return its seconds and the CPU seconds of both stores."""
        begun = await self._now()
        await work
        ended = await self._now()
        return ended[0] - begun[0], ended[1] - begun[1], ended[2] - begun[2]

    async def _now(self) -> tuple[float, float, float]:
        cpu = await self.redis.info("cpu")
        return time.monotonic(), cpu["used_cpu_user"] + cpu["used_cpu_sys"], cpu_seconds(self.mongo_pid)


class Run:
    """The sequence of measurements on a node."""

    def __init__(self, environ: Mapping[str, str], gauge: Gauge, database: Any, *, at_once: int) -> None:
        self._environ = environ
        self._at_once = at_once
        self._gauge = gauge
        self._database = database
        self._keys = Keys(NAME)
        self._server: Server
        self._sockets: dict[str, Socket] = {}

    async def __call__(self, logins: Sequence[Login], *, copies: int) -> dict[str, Any]:
        """Run all measurements with the sessions of `logins`."""
        await self._start()
        try:
            await let_in(self._server, logins[-1])
            await self._gauge.rest()
            keys = await self._with_sockets(logins)
            staying = logins[_ended(logins) :]
            await self._handshake("handshake_again", staying)
            await self._leave("leave_again")
            # A new node, with no cached sessions. The first handshakes open its MongoDB connections.
            await self._server.child.stop()
            await self._start()
            await let_in(self._server, staying[0])
            warm = min(WARM, len(staying) // 2)
            await self._handshake("warm", staying[:warm])
            await self._handshake("handshake_elsewhere", staying[warm:])
            await self._leave("leave_elsewhere")
            await self._log_in(staying)
        finally:
            await self._server.child.stop()
        costs, documents = self._gauge.costs, await document_sizes(self._database, copies)
        idle = dict(zip(("redis_cpu_share", "mongo_cpu_share"), self._gauge.idle, strict=True))
        return {
            "stores": figures(costs, keys, documents),
            "costs": costs,
            "keys": keys,
            "documents": documents,
            "idle": idle,
        }

    async def _with_sockets(self, logins: Sequence[Login]) -> dict[str, float]:
        """Measure sessions from first handshake to the end of the socket; return the bytes of their Redis keys."""
        await self._handshake("handshake_first", logins)
        keys = await key_sizes(self._gauge.redis, self._keys, logins)
        logins = await self._refresh(logins)
        await self._gauge.measure("reauthenticate", len(logins), drive(logins, self._renew, at_once=self._at_once))
        await self._request("get_me", logins, _me)
        keys["deny_key"] = await self._revoke(logins[: _ended(logins)])
        # With the events of a revocation.
        keys["log_key_full"] = await full_log_size(self._gauge.redis, self._keys.log(logins[0].user_id))
        await self._leave("leave")
        return keys

    async def _start(self) -> None:
        child = await spawn(
            (sys.executable, str(ROOT / "server.py"), "serve"),
            name="the node",
            environ=self._environ,
            cores=frozenset(os.sched_getaffinity(0)),
            cwd=ROOT,
        )
        self._server = Server(child, "", 0)
        url = await child.wait_for("listening on ")
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._server = Server(child, host, int(port))
        child.follow()

    async def _handshake(self, name: str, logins: Sequence[Login]) -> None:
        async def one(login: Login) -> None:
            socket, _ = await connect(self._server.host, self._server.port, login.access_token)
            self._sockets[login.session_id] = socket

        await self._gauge.measure(name, len(logins), drive(logins, one, at_once=self._at_once))

    async def _renew(self, login: Login) -> None:
        await self._sockets[login.session_id].ask("reauthenticate", {"token": login.access_token})

    async def _leave(self, name: str) -> None:
        async def hang_up(socket: Socket) -> None:
            socket.hang_up()

        leaving = [socket for socket in self._sockets.values() if not socket.closed.done()]
        self._sockets.clear()
        await self._gauge.measure(
            name, len(leaving), drive(leaving, hang_up, at_once=self._at_once), settle=LEAVE_SECONDS
        )

    async def _request(
        self, name: str, jobs: Sequence[Any], act: ActNotice[Any], *, settle: float = SETTLE_SECONDS
    ) -> None:
        work = over(self._server, jobs, act, at_once=self._at_once)
        await self._gauge.measure(name, len(jobs), work, settle=settle)

    async def _refresh(self, logins: Sequence[Login]) -> list[Login]:
        """Refresh each session; return the logins with their new access tokens."""
        fresh: dict[str, str] = {}

        async def one(connection: Connection, login: Login) -> Answer:
            body = {"refreshToken": login.refresh_token}
            answer = await connection.request("POST", "/api/auth/refresh", body=body)
            fresh[login.session_id] = answer.data["accessToken"]
            return answer

        await self._request("refresh", logins, one)
        return [replace(login, access_token=fresh[login.session_id]) for login in logins]

    async def _revoke(self, logins: Sequence[Login]) -> float:
        """Revoke each user's first session from the second; return the bytes of a deny-list entry."""
        pairs = list(zip(logins[::2], logins[1::2], strict=True))
        await self._request("revoke", pairs, _end, settle=LEAVE_SECONDS)
        lists = {self._keys.denied(shard_of(login.user_id)) for login, _ in pairs}
        sizes = [await self._gauge.redis.memory_usage(key) for key in lists]
        return sum(size or 0 for size in sizes) / len(pairs)

    async def _log_in(self, logins: Sequence[Login]) -> None:
        await over(self._server, logins[:LOGINS_AT_ONCE], _login, at_once=LOGINS_AT_ONCE)
        measured = logins[LOGINS_AT_ONCE : LOGINS_AT_ONCE + LOGINS]
        work = over(self._server, measured, _login, at_once=LOGINS_AT_ONCE)
        await self._gauge.measure("login", len(measured), work)


def _ended(logins: Sequence[Login]) -> int:
    """Return the number of sessions used for revocations: about a quarter, in whole users."""
    return len(logins) // 4 // SESSIONS_PER_USER * SESSIONS_PER_USER


async def _me(connection: Connection, login: Login) -> Answer:
    return await connection.request("GET", "/api/auth/me", token=login.access_token)


async def _end(connection: Connection, pair: tuple[Login, Login]) -> Answer:
    ended, by = pair
    return await connection.request("DELETE", f"/api/auth/sessions/{ended.session_id}", token=by.access_token)


async def _login(connection: Connection, login: Login) -> Answer:
    body = {"email": login.email, "password": PASSWORD}
    return await connection.request("POST", "/api/auth/login", body=body)


# The measurement of each figure of a plan.
SOURCES = {
    "redis_handshake_us": "handshake_again",
    "redis_leave_us": "leave",
    "redis_refresh_us": "refresh",
    "redis_reauthenticate_us": "reauthenticate",
    "redis_request_us": "get_me",
    "redis_login_us": "login",
    "redis_revoke_us": "revoke",
    "mongo_handshake_us": "handshake_elsewhere",
    "mongo_refresh_us": "refresh",
    "mongo_confirm_us": "reauthenticate",
    "mongo_touch_us": "leave",
    "mongo_request_us": "get_me",
    "mongo_login_us": "login",
    "mongo_revoke_us": "revoke",
}


def figures(
    costs: Mapping[str, Cost], keys: Mapping[str, float], documents: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Return the measurements under their names in a plan (`Stores` in plan_figures.py)."""
    named = {name: costs[source][f"{name[:5]}_cpu_us"] for name, source in SOURCES.items()}
    named |= {
        "redis_socket_bytes": keys["sockets_key"] / SESSIONS_PER_USER + keys["node_member"],
        "redis_meta_bytes": keys["meta_key"],
        "redis_states_bytes": keys["states_key"],
        "redis_event_bytes": keys["log_key_full"] / LOG_LENGTH,
        "redis_deny_bytes": keys["deny_key"],
    }
    for ours, theirs in (("user", "users"), ("session", "sessions"), ("audit", "audit_events")):
        named[f"{ours}_bytes"] = documents[theirs]["document"]
        named[f"{ours}_index_bytes"] = documents[theirs]["indexes"]
    return {name: round(value, 1) for name, value in named.items()}


def _environ(services: ServiceUrls, secret: str) -> dict[str, str]:
    """Return the node's environment, without inherited settings of Vigil or the bench."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("VIGIL_", "BENCH_"))}
    return inherited | {
        "VIGIL_MONGO_URL": services.mongo_url,
        "VIGIL_MONGO_DATABASE": NAME,
        "VIGIL_REDIS_URL": services.redis_url,
        "VIGIL_REDIS_PREFIX": NAME,
        "VIGIL_SECRET_KEY": secret,
        "VIGIL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "VIGIL_ISSUER": ISSUER,
        "VIGIL_PORT": "0",
        "VIGIL_LOG_LEVEL": "warning",
        "VIGIL_JOBS": "off",
        **{f"VIGIL_LIMIT_{name}": "100000000/hour" for name in LIMITS},
    }


async def measure(sessions: int, *, copies: int, at_once: int) -> dict[str, Any]:
    """Start embedded stores and a node, measure, and stop them."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedServices(Path(folder)) as services:
            secret = secrets.token_hex(32)
            logins = await seed(services.mongo_url, NAME, secret, sessions // SESSIONS_PER_USER)
            mongo_pid = int(await asyncio.to_thread((Path(folder) / "mongo.pid").read_text))
            store: Redis = Redis.from_url(services.redis_url)
            client: AsyncMongoClient[Any] = AsyncMongoClient(services.mongo_url)
            async with store, client:
                run = Run(_environ(services, secret), Gauge(store, mongo_pid), client[NAME], at_once=at_once)
                return await run(logins, copies=copies)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is too few; the minimum is {least}")
        return int(text)

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.store_costs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--sessions", type=_at_least(LEAST_SESSIONS), default=2000, help="(%(default)s)")
    parser.add_argument(
        "--at-once",
        type=_at_least(1),
        default=AT_ONCE,
        help="concurrency, except for logins and closing sockets (%(default)s)",
    )
    parser.add_argument(
        "--copies",
        type=_at_least(1),
        default=50_000,
        help="documents per collection for measuring indexes (%(default)s)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "artefacts" / "stores.json")
    given = parser.parse_args(arguments)
    raise_open_files()
    try:
        found = asyncio.run(measure(given.sessions, copies=given.copies, at_once=given.at_once))
    except (LoadError, EmbeddedError) as error:
        sys.stderr.write(f"store_costs: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    run = {"at_once": given.at_once, "machine": platform.platform(), "cpus": os.cpu_count()}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found | run, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
