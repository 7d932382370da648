"""Redis access for the rest of the server: a pipelined connection with a circuit breaker, which fails fast
during outages.

Every call answers or raises `Unavailable`. An error reply counts as an outage too: our commands and scripts
never cause one themselves, so it always reflects the state of Redis (too few replicas, read-only replica,
loading, out of memory, authentication, a busy script), and the command was not executed.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

import structlog
from redis.exceptions import RedisError

from auth.core.errors import Unavailable
from auth.platform.redis.address import read_address
from auth.platform.redis.cluster import REDIRECTIONS, Cluster
from auth.platform.redis.discovery import find_master
from auth.platform.redis.master import Master
from auth.platform.redis.slots import slot_of
from auth.platform.redis.wire import Argument

# A healthy Redis answers in well under a millisecond.
ANSWER_SECONDS = 1.0
OPEN_SECONDS = 0.5
# Replies that do not count as an outage: the script is unknown; a cluster names another master.
UNKNOWN_SCRIPT = "NOSCRIPT"
# Redis errors for a wrong password, a missing one, an unexpected one, and missing permissions.
REFUSALS = ("WRONGPASS", "NOAUTH", "ERR AUTH", "NOPERM")

log = structlog.get_logger()


class RedisLink:
    """Calls answer, or raise `Unavailable` when Redis has been silent for about `answer_seconds`.

    In a cluster all keys of a call must be of one slot, and an outage of one master concerns its slots only. A
    server that is no cluster is the only master of all slots. `name` is the connection's name in Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        name: str = "vigil",
        answer_seconds: float = ANSWER_SECONDS,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self.prefix = prefix
        self._address = read_address(url)
        self._answer_seconds = answer_seconds
        is_cluster = self._address.kind == "cluster"
        make = partial(
            Master,
            name=name,
            answer_seconds=answer_seconds,
            open_seconds=open_seconds,
            passed_on=(UNKNOWN_SCRIPT, *(REDIRECTIONS if is_cluster else ())),
        )
        self._cluster = Cluster(self._address, make, answer_seconds=answer_seconds) if is_cluster else None
        self._sole = None if is_cluster else make(self._address)

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of a call must be of one slot."""
        return self._cluster is not None

    @property
    def masters(self) -> tuple[Master, ...]:
        """The masters known now."""
        if self._cluster is not None:
            return self._cluster.masters
        return (self._sole,) if self._sole else ()

    def master_of(self, slot: int) -> Master | None:
        """The master of a slot; None if it is not known."""
        return self._cluster.of(slot) if self._cluster is not None else self._sole

    def epoch_of(self, slot: int) -> int:
        """A number that changes with each outage of the slot's master, and when the slot has another master."""
        master = self.master_of(slot)
        return master.epoch if master is not None else 0

    @property
    def rooms_channel(self) -> str:
        """The channel of the application's rooms. The name includes the database: channels are shared by all
        databases.
        """
        return f"{self.prefix}:{{rooms}}:{self._address.database}"

    async def execute(self, *command: Argument) -> Any:
        """Run a command that neither blocks nor subscribes.

        Raises `Unavailable` when Redis is down (immediately while the breaker is open); the command may have
        run. Also on an error reply, except NOSCRIPT, which is raised unchanged for `Script`.
        """
        if self._sole is not None:
            return await self._sole.execute(*command)
        assert self._cluster is not None
        return await self._cluster.execute(*command)

    def groups(self, keys: Sequence[str]) -> list[list[int]]:
        """The places of `keys`, in order, split where one call may not use those before and after."""
        if self._cluster is None:
            return [list(range(len(keys)))]
        return [list(places) for _, places in groupby(range(len(keys)), lambda place: slot_of(keys[place]))]

    def observe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever slots have another master."""
        if self._cluster is not None:
            self._cluster.observe(on_change)

    async def look_up_masters(self) -> None:
        """Look the masters up now. Raises `Unavailable`."""
        if self._cluster is not None:
            await self._cluster.look_up()

    def look_up_masters_soon(self) -> None:
        """Look the masters up, because they may have changed."""
        if self._cluster is not None:
            self._cluster.look_up_soon()

    async def time(self) -> datetime:
        """The time of one of the masters. Raises `Unavailable`."""
        for master in self.masters:
            with suppress(Unavailable):
                return await master.time()
        raise Unavailable

    async def problem(self) -> str | None:
        """What is wrong with the URL, as one line; None if nothing is, or Redis does not answer."""
        try:
            if self._cluster is not None:
                await self._cluster.look_up()
            elif self._address.kind == "sentinel":
                await find_master(self._address, seconds=self._answer_seconds)
        except (RedisError, Unavailable) as error:
            return _problem(str(error.__cause__ or error))
        facts = [await master.facts("server") for master in self.masters]
        # Redis names it so, and Valkey otherwise.
        modes = {each.get("redis_mode") or each.get("server_mode") for each in facts}
        if self._address.kind == "server" and "cluster" in modes:
            return "this is a node of a cluster: write redis+cluster://"
        if self._address.kind == "server" and "sentinel" in modes:
            return "this is a sentinel: write redis+sentinel://host,host/NAME/0"
        return await self._refusal()

    async def _refusal(self) -> str | None:
        for master in self.masters:
            try:
                await master.execute("PING")
            except Unavailable as down:
                return _problem(str(down.__cause__))
        return None

    async def evicts(self) -> str | None:
        """The `maxmemory-policy` under which Redis may evict our keys; None if it evicts none or does not
        answer.
        """
        for master in self.masters:
            memory = await master.facts("memory")
            policy = memory.get("maxmemory_policy", "noeviction")
            if policy != "noeviction" and memory.get("maxmemory", "0") != "0":
                return policy
        return None

    async def warn_of_eviction(self) -> None:
        """Log a warning if Redis may evict our keys."""
        policy = await self.evicts()
        if policy is not None:
            log.warning("redis_may_evict", maxmemory_policy=policy, advice="set maxmemory-policy noeviction")

    async def close(self) -> None:
        """Close the connections."""
        if self._cluster is not None:
            await self._cluster.close()
        if self._sole is not None:
            await self._sole.close()


def _problem(refusal: str) -> str | None:
    """The line about an error that repeating would not mend."""
    if any(each in refusal for each in REFUSALS):
        return "Redis refuses its user or password"
    if "cluster support disabled" in refusal:
        return "this server is not part of a cluster: write redis://"
    if refusal.startswith("the sentinels know no master"):
        return refusal
    if "unknown command" in refusal and "SENTINEL" in refusal.upper():
        return "this is not a sentinel: write redis://"
    return _tls_problem(refusal)


def _tls_problem(refusal: str) -> str | None:
    # The texts are those of OpenSSL. An alert is how the server refuses the client's certificate.
    untrusted = re.search(r"certificate verify failed: (.+?)(?: \(_ssl\.c|$)", refusal)
    if untrusted is not None:
        return f"the certificate of Redis is refused (ssl_ca_certs names the CA): {untrusted[1].rstrip('.')}"
    if re.search(r"ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE)|ALERT_HANDSHAKE_FAILURE", refusal):
        return "Redis demands a client certificate that it trusts: ssl_certfile, ssl_keyfile"
    return None


def as_text(value: Any) -> str:
    """Decode a Redis reply."""
    return value.decode() if isinstance(value, bytes) else str(value)
