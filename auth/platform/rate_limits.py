"""Rate limits: fixed windows counted in Redis, or by this node alone while Redis is down.

Each limit is a setting `VIGIL_LIMIT_<NAME>`. Events are counted by identity: an address, an account, or both.
An IPv6 address counts as its /64, since one customer has 2^64 addresses, and also as its /56 and /48, the other
prefixes assigned to one customer (RFC 6177; RIPE-690, section 4.2), which allow 4 and 16 times as much. An IPv4
address counts by itself. Identities are hashed, so that keys have a bounded length and contain no personal
data.

While Redis is down, requests do not wait for it: local windows are used, and N nodes allow up to N times as
much. Nothing here raises anything but `RateLimited`. The Redis connection is separate from the live side's,
with a shorter timeout and a longer circuit breaker, since every request waits for it.
"""

import asyncio
import functools
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import limits
import structlog

from auth.core.errors import RateLimited, Unavailable
from auth.platform.event_limits import EventBudgets, EventRate
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from auth.platform.redis.pipe import Script
from auth.platform.settings.settings import LimitSettings

log = structlog.get_logger()

COUNT = Path(__file__).with_name("count.lua")

LimitName = Literal[
    "login",
    "login_ip",
    "password_guesses",
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
    "server",
]

# Mails that anyone can trigger.
MailPurpose = Literal[
    "registration",
    "resend",
    "password_reset",
    "new_address",
    "second_factor",
    "passkey_copied",
]

# A limit and the identity to count.
Counted = tuple[LimitName, tuple[str, ...]]

# The prefix lengths by which an IPv6 address is counted, and the multiple of the limit that each allows.
IPV6_NETWORKS = ((64, 1), (56, 4), (48, 16))

# A healthy Redis answers in well under a millisecond.
REDIS_SECONDS = 0.5
CIRCUIT_SECONDS = 2.0
LOCAL_KEYS = 20_000
# Characters of an identity's hash that decide where a cluster keeps its counters.
TAG_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Window:
    """A counter: its key in Redis, its limit and its length in seconds."""

    key: str
    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class LimitOutcome:
    """The result of counting an event: limits it has just used up, and the refusal if it exceeded one."""

    used_up: frozenset[LimitName]
    refusal: RateLimited | None


class RateLimits:
    """Counts events by limit and identity; raises `RateLimited` when a limit is exceeded."""

    def __init__(
        self,
        *,
        settings: LimitSettings,
        redis_url: str,
        namespace: str,
        metrics: Metrics,
        make_link: Callable[..., RedisLink] = RedisLink,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._enabled = settings.rate_limits
        self._items = {name: limits.parse(getattr(settings, f"limit_{name}")) for name in get_args(LimitName)}
        self._event_limits = settings.event_limits
        self._prefix = f"{namespace}:limits"
        self._link = make_link(
            redis_url,
            prefix=namespace,
            name="vigil-limits",
            answer_seconds=REDIS_SECONDS,
            open_seconds=CIRCUIT_SECONDS,
        )
        self._shared = SharedWindows(self._link)
        self._local = LocalWindows(LOCAL_KEYS)
        self._refused = metrics.rate_limited
        metrics.begin(self._refused, *get_args(LimitName))
        self._monotonic = monotonic
        self._down = False

    async def hit(self, name: LimitName, *identity: str) -> None:
        """Count one event. Raises `RateLimited` if it exceeds the limit."""
        hits = await self.count_all((name, identity))
        if hits.refusal is not None:
            raise hits.refusal

    async def count_all(self, *counted: Counted) -> LimitOutcome:
        """Count one event by several limits, in one round trip; in a cluster, one for each identity. Never raises.

        Stops at the first limit exceeded: requests beyond the limit of an address do not use up the limits of
        its wider networks.
        """
        if not self._enabled:
            return LimitOutcome(frozenset(), None)
        named = self._named(counted)
        counts = await self._redis(lambda: self._shared.add_all([window for _, window in named]))
        if counts is None:
            counts = self._local.add_all([window for _, window in named], now=self._monotonic())
        seen = list(zip(named, counts, strict=False))
        used_up = {name for (name, window), count in seen if count == window.amount}
        beyond = [each for each, count in seen if count > each[1].amount]
        return LimitOutcome(frozenset(used_up), await self._refusal(beyond) if beyond else None)

    async def allows_mail(self, purpose: MailPurpose, to: str, *, is_sent: bool = True) -> bool:
        """Count one mail to an address or account and return whether the limit allows it. A refusal is not
        reported to the client.

        Purposes are counted separately, so that using up one does not block another. With `is_sent=False`, for
        a mail that is not going to be sent, a separate counter is used: the timing is the same, and no real
        quota is used up.
        """
        try:
            await self.hit("mail", purpose, to if is_sent else f"unsent {to}")
        except RateLimited:
            return False
        return True

    async def check(self, name: LimitName, *identity: str) -> None:
        """Raise `RateLimited` if the limit is used up; counts nothing."""
        await self.check_all((name, identity))

    async def check_all(self, *counted: Counted) -> None:
        """Raise `RateLimited` if one of these limits is used up; counts nothing."""
        used_up = await self._used_up(*counted)
        if used_up:
            raise await self._refusal(used_up)

    async def blocked_for(self, name: LimitName, *identity: str) -> float | None:
        """For how many seconds the limit stays used up; None if it is not. Counts nothing."""
        used_up = await self._used_up((name, identity))
        return await self._longest_wait(used_up) if used_up else None

    async def _used_up(self, *counted: Counted) -> list[tuple[LimitName, Window]]:
        if not self._enabled:
            return []
        named = self._named(counted)
        keys = [window.key for _, window in named]
        shared = await self._redis(lambda: self._shared.counts(keys)) or [None] * len(keys)
        now = self._monotonic()
        # Include local counts: a Redis that rejects writes still answers reads, with outdated counts.
        counts = [
            max(int(count or 0), self._local.count(key, now=now)) for key, count in zip(keys, shared, strict=True)
        ]
        return [each for each, count in zip(named, counts, strict=True) if count >= each[1].amount]

    async def reset(self, name: LimitName, *identity: str) -> None:
        """Reset the counters of an identity, locally and in Redis."""
        if not self._enabled:
            return
        keys = [window.key for window in self.windows(name, *identity)]
        for key in keys:
            self._local.forget(key)
        await self._redis(lambda: self._link.execute("DEL", *keys))

    def windows(self, name: LimitName, *identity: str) -> tuple[Window, ...]:
        """The counters of a limit for an identity, narrowest network first.

        For callers that count by themselves. They must do as `count.lua`: INCRBY each key by 1, EXPIRE it after
        the window's seconds if the result is 1, and stop at the first key that exceeds its limit.
        """
        item, identities = self._items[name], _identities(identity)
        # Tagged by the widest network, so that a cluster keeps the counters of one identity together.
        prefix = f"{self._prefix}:{{{identities[-1][0][:TAG_LENGTH]}}}"
        return tuple(
            Window(f"{prefix}:{item.key_for(name, hashed)}", item.amount * times, item.get_expiry())
            for hashed, times in identities
        )

    def refused(self, name: LimitName) -> None:
        """Count, in the metrics, a refusal that was decided elsewhere by this limit."""
        self._refused.labels(name).inc()

    @property
    def is_cluster(self) -> bool:
        """Whether a script on other keys cannot count by itself, because the counters may be on another master."""
        return self._link.is_cluster

    @property
    def enabled(self) -> bool:
        """Whether rate limits are enabled."""
        return self._enabled

    def event_budgets(self, declared: Mapping[str, str]) -> EventBudgets:
        """The limits of sockets' events: `VIGIL_LIMIT_SOCKET_EVENTS`, and by event those `declared` by the
        application and those of `VIGIL_EVENT_LIMITS`, which win.
        """
        rates = {**declared, **dict(self._event_limits)} if self._enabled else {}
        own = {event: EventRate.of(limits.parse(rate)) for event, rate in rates.items()}
        rest = EventRate.of(self._items["socket_events"])
        return EventBudgets(rest if self._enabled else EventRate(None, rest.seconds), own)

    async def close(self) -> None:
        """Close the connection to Redis."""
        await self._link.close()

    def _named(self, counted: Sequence[Counted]) -> list[tuple[LimitName, Window]]:
        return [(name, window) for name, identity in counted for window in self.windows(name, *identity)]

    async def _refusal(self, beyond: Sequence[tuple[LimitName, Window]]) -> RateLimited:
        for name in dict.fromkeys(name for name, _ in beyond):
            self.refused(name)
            # Logged with the request id, since these refusals are not in the audit trail (ASVS 5.0, 16.3.1).
            log.info("rate_limited", limit=name)
        return RateLimited(retry_after_seconds=await self._longest_wait(beyond))

    async def _longest_wait(self, beyond: Sequence[tuple[LimitName, Window]]) -> float:
        return max(await asyncio.gather(*(self._seconds_left(window) for _, window in beyond)))

    async def _seconds_left(self, window: Window) -> float:
        left_ms = await self._redis(lambda: self._link.execute("PTTL", window.key))
        # Redis is down, or rejects writes and has no such key.
        if left_ms is None or left_ms < 0:
            left_ms = self._local.seconds_left(window.key, now=self._monotonic()) * 1000
        return min(max(1.0, int(left_ms) / 1000), float(window.seconds))

    async def _redis(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `call`, or None while Redis is down."""
        try:
            answer = await call()
        except Unavailable as outage:
            if not self._down:
                log.warning("rate_limits_are_local", error=type(outage.__cause__).__name__)
            self._down = True
            return None
        if self._down:
            log.info("rate_limits_are_shared_again")
        self._down = False
        return answer


class SharedWindows:
    """Fixed windows in Redis. In a cluster those of one identity are counted in one step, as their keys have one
    tag. Raises `Unavailable`.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._count = Script(link.execute, COUNT.read_text())

    async def add_all(self, windows: Sequence[Window]) -> list[int]:
        """Count one event in each window, stopping at the first one exceeded; return the counts."""
        counts: list[int] = []
        for places in self._link.groups([window.key for window in windows]):
            group = [windows[place] for place in places]
            bounds = [bound for window in group for bound in (window.amount, window.seconds)]
            counted = await self._count(keys=[window.key for window in group], args=bounds)
            counts += counted
            if counted[-1] > group[len(counted) - 1].amount:
                break
        return counts

    async def counts(self, keys: Sequence[str]) -> list[bytes | None]:
        """The count of each window; None for one that has not begun."""
        found: list[bytes | None] = []
        for places in self._link.groups(keys):
            found += await self._link.execute("MGET", *(keys[place] for place in places))
        return found


class LocalWindows:
    """Fixed windows in memory, at most `size` of them; when full, those that expire first are removed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, key: str, window: float, *, now: float) -> int:
        """Count one event and return the window's count, including it."""
        ends_at, count = self._windows.get(key, (0.0, 0))
        if ends_at <= now:
            ends_at, count = now + window, 0
            self._windows.pop(key, None)
            self._make_room(now)
        self._windows[key] = (ends_at, count + 1)
        return count + 1

    def add_all(self, windows: Sequence[Window], *, now: float) -> list[int]:
        """Count one event in each window, stopping at the first one exceeded; return the counts."""
        counts: list[int] = []
        for window in windows:
            counts.append(self.add(window.key, window.seconds, now=now))
            if counts[-1] > window.amount:
                break
        return counts

    def count(self, key: str, *, now: float) -> int:
        """The number of events in the current window."""
        ends_at, count = self._windows.get(key, (0.0, 0))
        return count if ends_at > now else 0

    def seconds_left(self, key: str, *, now: float) -> float:
        """The remaining seconds of the current window."""
        return max(0.0, self._windows.get(key, (0.0, 0))[0] - now)

    def forget(self, key: str) -> None:
        """Remove the window."""
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


# Cached: an IPv6 address costs 22 µs a call, and a handshake makes four calls.
@functools.lru_cache(maxsize=4096)
def network_of(identity: str) -> str:
    """The identity by which an address is counted: the /64 of an IPv6 address, otherwise the text itself."""
    return networks_of(identity)[0][0]


def networks_of(identity: str) -> tuple[tuple[str, int], ...]:
    """All identities by which an address is counted, narrowest network first, with their limit multiples."""
    try:
        address = ipaddress.ip_address(identity)
    except ValueError:
        return ((identity, 1),)
    if isinstance(address, ipaddress.IPv4Address):
        return ((str(address), 1),)
    if address.ipv4_mapped is not None:
        return ((str(address.ipv4_mapped), 1),)
    number = int(address)
    return tuple(
        (str(ipaddress.ip_network((number >> 128 - length << 128 - length, length))), times)
        for length, times in IPV6_NETWORKS
    )


# Cached: it costs 6 µs a call, 40 µs for an IPv6 address, and callers repeat.
@functools.lru_cache(maxsize=4096)
def _identities(identity: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The hashes by which an identity is counted, with their limit multiples: one for each network of an IPv6
    address.
    """
    parts = [networks_of(part) for part in identity]
    widest = max(map(len, parts), default=1)
    levels = [[part[min(level, len(part) - 1)] for part in parts] for level in range(widest)]
    return tuple(
        (_hash([text for text, _ in level]), max((times for _, times in level), default=1)) for level in levels
    )


def _hash(parts: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return digest.hexdigest()
