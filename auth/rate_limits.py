"""Rate limits: fixed windows counted in Redis, and by this node alone while Redis is down.

Each limit is a setting `VIGIL_LIMIT_<NAME>`. An identity is what is counted: an address, an account, or both.
An IPv6 address counts as its /64, since a single customer has 2^64 of them. Identities are hashed, so that a
key has a bounded length and names nobody.

With Redis down no request waits for it: the first failure opens a circuit for `CIRCUIT_SECONDS`, and this
node's own windows count meanwhile. N nodes then allow up to N times as much, which is the price of staying
open. Nothing here ever raises anything but `RateLimited`.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, cast

import limits
import structlog
from limits.aio.storage import RedisStorage
from limits.storage import storage_from_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from auth.errors import RateLimited
from auth.metrics import Metrics
from auth.settings import LimitSettings

log = structlog.get_logger()
R = TypeVar("R")

LimitName = Literal["login", "login_ip", "register", "mail", "refresh", "api", "socket_connects", "socket_events"]

# A healthy Redis answers in well under a millisecond.
REDIS_SECONDS = 0.5
CIRCUIT_SECONDS = 2.0
LOCAL_KEYS = 20_000


class RateLimits:
    """Counts events by limit and identity; raises `RateLimited` beyond what a limit allows."""

    def __init__(
        self,
        *,
        settings: LimitSettings,
        redis_url: str,
        namespace: str,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._enabled = settings.rate_limits
        self._items = {
            name: limits.parse(getattr(settings, f"limit_{name}"))
            for name in (
                "login", "login_ip", "register", "mail", "refresh", "api", "socket_connects", "socket_events",
            )
        }  # fmt: skip
        self._prefix = f"{namespace}:limits"
        self._storage = _storage(redis_url, self._prefix)
        self._failures = _failures(self._storage)
        self._local = LocalWindows(LOCAL_KEYS)
        self._metrics = metrics
        self._monotonic = monotonic
        self._skip_until = float("-inf")
        self._down = False

    async def hit(self, name: LimitName, *identity: str) -> None:
        """Count one event. Raises `RateLimited` when it is more than the limit allows."""
        if not self._enabled:
            return
        key, amount, window = self._key(name, identity)
        count = await self._redis(lambda: self._storage.incr(key, window))
        if count is None:
            count = self._local.add(key, window, now=self._monotonic())
        if count > amount:
            await self._refuse(name, key, window)

    async def check(self, name: LimitName, *identity: str) -> None:
        """Raise `RateLimited` when the limit is used up; counts nothing."""
        if not self._enabled:
            return
        key, amount, window = self._key(name, identity)
        count = await self._redis(lambda: self._storage.get(key))
        if count is None:
            count = self._local.count(key, now=self._monotonic())
        if count >= amount:
            await self._refuse(name, key, window)

    async def reset(self, name: LimitName, *identity: str) -> None:
        """Forget what was counted, here and in Redis."""
        if not self._enabled:
            return
        key, _, _ = self._key(name, identity)
        self._local.forget(key)
        await self._redis(lambda: self._storage.clear(key))

    def redis_key(self, name: LimitName, *identity: str) -> tuple[str, int, int]:
        """The key in Redis, the amount and the window's seconds, for a script that counts by itself.

        It must do as `hit` does: INCRBY the key by 1, EXPIRE it after the window when the result is 1, and
        refuse when the result is more than the amount.
        """
        key, amount, window = self._key(name, identity)
        return f"{self._prefix}:{key}", amount, window

    def refused(self, name: LimitName) -> None:
        """Count a refusal that was decided elsewhere by this limit's numbers."""
        self._metrics.rate_limited.labels(name).inc()

    @property
    def enabled(self) -> bool:
        """Whether limits are on at all."""
        return self._enabled

    def event_window(self, *, now: float) -> "EventWindow":
        """A count of one socket's events, begun at `now`, by `VIGIL_LIMIT_SOCKET_EVENTS`."""
        item = self._items["socket_events"]
        return EventWindow(item.amount if self._enabled else None, item.get_expiry(), now=now)

    async def close(self) -> None:
        """Close the connections to Redis."""
        client = cast("Any", self._storage).bridge.get_connection()
        with contextlib.suppress(*self._failures):
            async with asyncio.timeout(REDIS_SECONDS):
                await client.aclose()

    def _key(self, name: LimitName, identity: tuple[str, ...]) -> tuple[str, int, int]:
        item = self._items[name]
        key = item.key_for(name, _identity_hash(identity))
        return key, item.amount, item.get_expiry()

    async def _refuse(self, name: LimitName, key: str, window: int) -> None:
        self.refused(name)
        reset_at = await self._redis(lambda: self._storage.get_expiry(key))
        if reset_at is not None:
            seconds = reset_at - time.time()
        else:
            seconds = self._local.seconds_left(key, now=self._monotonic())
        raise RateLimited(retry_after_seconds=min(max(1.0, seconds), window))

    async def _redis(self, call: Callable[[], Awaitable[R]]) -> R | None:
        """The answer, or None while Redis is down."""
        if self._monotonic() < self._skip_until:
            return None
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                answer = await call()
        except self._failures as error:
            if not self._down:
                log.warning("rate_limits_are_local", error=type(error).__name__)
            self._down = True
            self._skip_until = self._monotonic() + CIRCUIT_SECONDS
            return None
        if self._down:
            log.info("rate_limits_are_shared_again")
        self._down = False
        return answer


class LocalWindows:
    """Fixed windows in memory, at most `size` of them: those that end first leave first. Pure but for state."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, key: str, window: float, *, now: float) -> int:
        """Count one event; how many there are in the window, this one too."""
        ends_at, count = self._windows.get(key, (0.0, 0))
        if ends_at <= now:
            ends_at, count = now + window, 0
            self._windows.pop(key, None)
            self._make_room(now)
        self._windows[key] = (ends_at, count + 1)
        return count + 1

    def count(self, key: str, *, now: float) -> int:
        """How many events the running window has."""
        ends_at, count = self._windows.get(key, (0.0, 0))
        return count if ends_at > now else 0

    def seconds_left(self, key: str, *, now: float) -> float:
        """How long the running window lasts."""
        return max(0.0, self._windows.get(key, (0.0, 0))[0] - now)

    def forget(self, key: str) -> None:
        """Drop the window."""
        self._windows.pop(key, None)

    def __len__(self) -> int:
        return len(self._windows)

    def _make_room(self, now: float) -> None:
        if len(self._windows) < self._size:
            return
        for key in [key for key, (ends_at, _) in self._windows.items() if ends_at <= now]:
            del self._windows[key]
        while len(self._windows) >= self._size:
            self._windows.popitem(last=False)


class EventWindow:
    """How many events one socket may still send: a fixed window, counted locally. Takes `now`."""

    __slots__ = ("_amount", "_count", "_ends_at", "_seconds")

    def __init__(self, amount: int | None, seconds: float, *, now: float) -> None:
        self._amount = amount
        self._seconds = seconds
        self._ends_at = now + seconds
        self._count = 0

    def take(self, *, now: float) -> float | None:
        """Count one event: None when it is allowed, else after how many seconds to try again."""
        if self._amount is None:
            return None
        if now >= self._ends_at:
            self._ends_at, self._count = now + self._seconds, 0
        self._count += 1
        return None if self._count <= self._amount else self._ends_at - now


def network_of(identity: str) -> str:
    """What an address counts as: an IPv4 address itself, an IPv6 address its /64; other text itself."""
    try:
        address = ipaddress.ip_address(identity)
    except ValueError:
        return identity
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _identity_hash(identity: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in identity:
        octets = network_of(part).encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return digest.hexdigest()


def _storage(redis_url: str, prefix: str) -> RedisStorage:
    url = redis_url if not redis_url.startswith("unix://") else "redis+" + redis_url
    options: dict[str, Any] = {
        "implementation": "redispy",
        "key_prefix": prefix,
        "socket_timeout": REDIS_SECONDS,
        "socket_connect_timeout": REDIS_SECONDS,
        # One try on a new connection after a restart of Redis, at once; the circuit does the waiting.
        "retry": Retry(NoBackoff(), 1),
        "max_connections": 64,
    }
    return cast("RedisStorage", storage_from_string(f"async+{url}", **options))


def _failures(storage: RedisStorage) -> tuple[type[Exception], ...]:
    own = storage.base_exceptions
    return (*(own if isinstance(own, tuple) else (own,)), OSError, TimeoutError)
