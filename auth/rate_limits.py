"""Rate limits: fixed windows counted in Redis, and by this node alone while Redis is down.

Each limit is a setting `VIGIL_LIMIT_<NAME>`. An identity is what is counted: an address, an account, or both.
An IPv6 address counts as its /64, since a single customer has 2^64 of them. Identities are hashed, so that a
key has a bounded length and names nobody.

With Redis down no request waits for it: the first failure opens a circuit for `CIRCUIT_SECONDS`, and this
node's own windows count meanwhile. N nodes then allow up to N times as much, which is the price of staying
open. Nothing here ever raises anything but `RateLimited`.
"""

import functools
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, get_args

import limits
import structlog
from redis.exceptions import RedisError

from auth.errors import RateLimited
from auth.metrics import Metrics
from auth.redis_pipe import Pipe, Script
from auth.settings import LimitSettings

log = structlog.get_logger()

LUA = Path(__file__).parent / "lua"

LimitName = Literal[
    "login",
    "login_ip",
    "second_factor",
    "passkey_options",
    "totp_guesses",
    "approval",
    "approval_ip",
    "approval_denied",
    "register",
    "mail",
    "sms_number",
    "sms_ip",
    "sms_prefix",
    "sms_account",
    "sms_total",
    "sms_verify",
    "sms_guesses",
    "provider",
    "export",
    "refresh",
    "api",
    "socket_connects",
    "socket_events",
    "admin",
]

# What somebody is mailed that anybody could bring about.
MailPurpose = Literal[
    "registration",
    "resend",
    "password_reset",
    "new_address",
    "second_factor",
    "passkey_copied",
]

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
        self._items = {name: limits.parse(getattr(settings, f"limit_{name}")) for name in get_args(LimitName)}
        self._prefix = f"{namespace}:limits"
        self._pipe = Pipe(redis_url, silence=REDIS_SECONDS, name="vigil-limits")
        self._count = Script(self._pipe.execute, (LUA / "count.lua").read_text())
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
        count = await self._redis(lambda: self._count(keys=[self._in_redis(key)], args=[window]))
        if count is None:
            count = self._local.add(key, window, now=self._monotonic())
        if count > amount:
            await self._refuse(name, key, window)

    async def allows_mail(self, purpose: MailPurpose, to: str, *, is_sent: bool = True) -> bool:
        """Count one mail to an address or an account; whether the limit allows it. A refusal is said to nobody.

        Each purpose is counted by itself, so that who uses up one silences no other. Where nothing is to be mailed
        (not `is_sent`) it is counted apart: to a clock it is the same, and nothing that could be is used up.
        """
        try:
            await self.hit("mail", purpose, to if is_sent else f"unsent {to}")
        except RateLimited:
            return False
        return True

    async def check(self, name: LimitName, *identity: str) -> None:
        """Raise `RateLimited` when the limit is used up; counts nothing."""
        if not self._enabled:
            return
        key, amount, window = self._key(name, identity)
        count = await self._redis(lambda: self._pipe.execute("GET", self._in_redis(key)), missing=b"0")
        if count is None:
            count = self._local.count(key, now=self._monotonic())
        if int(count) >= amount:
            await self._refuse(name, key, window)

    async def reset(self, name: LimitName, *identity: str) -> None:
        """Forget what was counted, here and in Redis."""
        if not self._enabled:
            return
        key, _, _ = self._key(name, identity)
        self._local.forget(key)
        await self._redis(lambda: self._pipe.execute("DEL", self._in_redis(key)))

    def redis_key(self, name: LimitName, *identity: str) -> tuple[str, int, int]:
        """The key in Redis, the amount and the window's seconds, for a script that counts by itself.

        It must do as `hit` does: INCRBY the key by 1, EXPIRE it after the window when the result is 1, and
        refuse when the result is more than the amount.
        """
        key, amount, window = self._key(name, identity)
        return self._in_redis(key), amount, window

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
        """Close the connection to Redis."""
        await self._pipe.close()

    def _key(self, name: LimitName, identity: tuple[str, ...]) -> tuple[str, int, int]:
        item = self._items[name]
        key = item.key_for(name, _identity_hash(identity))
        return key, item.amount, item.get_expiry()

    def _in_redis(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    async def _refuse(self, name: LimitName, key: str, window: int) -> None:
        self.refused(name)
        # Beside the request's line, with its id: a login refused so is in no audit trail (ASVS 5.0, 16.3.1).
        log.info("rate_limited", limit=name)
        left_ms = await self._redis(lambda: self._pipe.execute("PTTL", self._in_redis(key)))
        left = left_ms / 1000 if left_ms is not None else self._local.seconds_left(key, now=self._monotonic())
        raise RateLimited(retry_after_seconds=min(max(1.0, left), window))

    async def _redis(self, call: Callable[[], Awaitable[Any]], *, missing: Any = None) -> Any:
        """The answer, `missing` where Redis has none, or None while Redis is down."""
        if self._monotonic() < self._skip_until:
            return None
        try:
            answer = await call()
        except (RedisError, OSError) as error:
            if not self._down:
                log.warning("rate_limits_are_local", error=type(error).__name__)
            self._down = True
            self._skip_until = self._monotonic() + CIRCUIT_SECONDS
            return None
        if self._down:
            log.info("rate_limits_are_shared_again")
        self._down = False
        return missing if answer is None else answer


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


# The same few callers ask again and again: 6 µs each time.
@functools.lru_cache(maxsize=4096)
def _identity_hash(identity: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in identity:
        octets = network_of(part).encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return digest.hexdigest()
