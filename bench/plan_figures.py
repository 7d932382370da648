"""Inputs of a capacity plan: measured costs and named assumptions. Pure.

Costs of a node are read from the output of `make bench`. Costs of the stores were measured with a real MongoDB and
Valkey under a real node (`python -m bench.store_costs`) and are the defaults of `Stores`. All other inputs are in
`Assumptions`. `Stores` and `Assumptions` state unit and source of each figure, and can be overridden by name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

T = TypeVar("T")


class PlanError(Exception):
    """The plan cannot be computed; the message is one line for the user."""


def _is(value: float, unit: str, source: str) -> float:
    """Define a figure with its unit and source."""
    return field(default=value, metadata={"unit": unit, "source": source})


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU of a node per operation, in µs, and its memory per idle socket: from `make bench`."""

    handshake_us: float
    reauthenticate_us: float
    refresh_us: float
    renewal_us: float
    login_us: float
    request_us: float
    push_us: float
    socket_bytes: float


_ONE_RUN = "measured at 2,000 sockets of 1,000 users"


@dataclass(frozen=True, slots=True)
class Stores:
    """Costs of the stores per operation: CPU from the kernel's accounting, bytes as reported by the stores."""

    redis_handshake_us: float = _is(116, "µs", _ONE_RUN)
    redis_leave_us: float = _is(43, "µs", _ONE_RUN)
    redis_refresh_us: float = _is(49, "µs", _ONE_RUN + "; both rate limits count")
    redis_reauthenticate_us: float = _is(21, "µs", _ONE_RUN)
    redis_request_us: float = _is(43, "µs", _ONE_RUN)
    redis_login_us: float = _is(343, "µs", _ONE_RUN + ", Argon2 beside them: an upper bound")
    redis_revoke_us: float = _is(465, "µs", _ONE_RUN)
    redis_socket_bytes: float = _is(342, "B", "MEMORY USAGE: a user's hash by socket, and a node's set by member")
    redis_meta_bytes: float = _is(161, "B", "MEMORY USAGE of a user's meta")
    redis_states_bytes: float = _is(644, "B", "MEMORY USAGE of the last `device-status` of a user's devices")
    redis_event_bytes: float = _is(562, "B", "MEMORY USAGE of a log of 256 events of revocations, by event")
    redis_deny_bytes: float = _is(126, "B", "MEMORY USAGE of a deny-list entry")
    mongo_handshake_us: float = _is(394, "µs", _ONE_RUN + "; on a node that does not know the session yet")
    mongo_refresh_us: float = _is(551, "µs", _ONE_RUN + "; one majority write")
    mongo_confirm_us: float = _is(488, "µs", _ONE_RUN + "; one majority write")
    mongo_touch_us: float = _is(389, "µs", _ONE_RUN + "; one majority write")
    mongo_request_us: float = _is(143, "µs", _ONE_RUN + "; one read")
    mongo_login_us: float = _is(3794, "µs", _ONE_RUN + ", Argon2 beside them: an upper bound")
    mongo_revoke_us: float = _is(2250, "µs", _ONE_RUN)
    user_bytes: float = _is(437, "B", "collStats: BSON of one document")
    user_index_bytes: float = _is(250, "B", "collStats: all indexes of 50,000 documents")
    session_bytes: float = _is(708, "B", "collStats: BSON of one document")
    session_index_bytes: float = _is(233, "B", "collStats: all indexes of 100,000 documents")
    audit_bytes: float = _is(428, "B", "collStats: BSON of one document")
    audit_index_bytes: float = _is(132, "B", "collStats: all indexes of 50,000 documents")

    @property
    def redis_return_us(self) -> float:
        """A reconnect: the handshake, and the removal of the old socket from the list."""
        return self.redis_handshake_us + self.redis_leave_us

    @property
    def redis_renewal_us(self) -> float:
        """A refresh and a re-authentication."""
        return self.redis_refresh_us + self.redis_reauthenticate_us

    @property
    def mongo_renewal_us(self) -> float:
        """A refresh and its confirmation."""
        return self.mongo_refresh_us + self.mongo_confirm_us


_GUESS = "assumed"
_DEFAULT = "Vigil's default"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All inputs that were not measured."""

    sockets_per_user: float = _is(1.5, "", f"{_GUESS}: devices and tabs of one person at once")
    sockets_per_session: float = _is(1.1, "", f"{_GUESS}: tabs of one device")
    accounts_per_online_user: float = _is(5, "", f"{_GUESS}: a fifth of all accounts is online at the peak")
    weekly_users_per_online_user: float = _is(3, "", f"{_GUESS}: whose log lives, as it does for a week")
    sessions_per_account: float = _is(3, "", f"{_GUESS}: kept documents; revoked ones stay 90 days")
    socket_life_s: float = _is(1800, "s", f"{_GUESS}: from handshake to loss; phones lose sockets often")
    requests_per_handshake: float = _is(1, "", f"{_GUESS}: HTTP calls of a page that loads")
    logins_per_user_day: float = _is(0.2, "1/day", f"{_GUESS}, by online user")
    revocations_per_user_day: float = _is(0.1, "1/day", f"{_GUESS}, by online user; logouts too")
    peak_factor: float = _is(3, "", f"{_GUESS}: logins and logouts of the busiest hour, against the mean")
    pushes_per_socket_minute: float = _is(1, "1/min", f"{_GUESS}: what the application pushes")
    push_payload_bytes: float = _is(256, "B", _GUESS)
    log_events_per_user: float = _is(4, "", f"{_GUESS}: logins, logouts and alerts of the last active day")
    audit_events_per_login: float = _is(2, "", "one of the login, one of the logout; 90 days")
    audit_days: float = _is(90, "days", _DEFAULT)
    token_life_s: float = _is(900, "s", _DEFAULT)
    lead_s: float = _is(60, "s", _DEFAULT)
    grace_s: float = _is(30, "s", _DEFAULT)
    jitter_share: float = _is(0.25, "", "realtime/gateway/expiry.py: of the lead")
    ping_interval_s: float = _is(25, "s", _DEFAULT)
    ping_us: float = _is(20, "µs", f"{_GUESS}: node CPU of one ping sent and its pong read")
    websocket_bytes: float = _is(4, "B", "RFC 6455: header of a frame of 126 B to 64 KiB from the server")
    ping_payload_bytes: float = _is(10, "B", "RFC 6455, Engine.IO: `2` in 3 B down, `3` in 7 B up, masked")
    tls_bytes: float = _is(22, "B", "RFC 8446: header, type and tag of one record")
    ip_bytes: float = _is(52, "B", "IPv4 and TCP with timestamps; IPv6 has 20 more")
    node_utilisation: float = _is(0.5, "", f"{_GUESS}: of a core in steady state, all zones up")
    storm_utilisation: float = _is(0.9, "", f"{_GUESS}: of a core while clients come back")
    sockets_per_node: float = _is(50_000, "", f"{_GUESS}: what one process may take down with it")
    node_memory_gib: float = _is(4, "GiB", f"{_GUESS}: of one process, which uses one core")
    memory_share: float = _is(0.7, "", f"{_GUESS}: of memory that is planned to be used")
    kernel_bytes: float = _is(4096, "B", f"{_GUESS}: what the kernel keeps of an idle connection, not resident")
    zones: float = _is(3, "", f"{_GUESS}: one may be lost, the others carry on")
    together_share: float = _is(1 / 3, "", f"{_GUESS}: of tokens that end in one second; renewed within the lead")
    recovery_s: float = _is(60, "s", f"{_GUESS}: in which all that a lost zone held are served again")
    redis_utilisation: float = _is(0.4, "", f"{_GUESS}: of the one core that runs commands")
    redis_memory_gib: float = _is(64, "GiB", f"{_GUESS}: of one shard")
    redis_copies: float = _is(2, "", f"{_GUESS}: a primary and a replica")
    mongo_cores: float = _is(16, "", f"{_GUESS}: of one member")
    mongo_utilisation: float = _is(0.5, "", f"{_GUESS}: of a primary's cores")
    mongo_memory_gib: float = _is(128, "GiB", f"{_GUESS}: of one member; half is WiredTiger's cache")
    mongo_disk_gib: float = _is(2048, "GiB", f"{_GUESS}: of one member")
    mongo_copies: float = _is(3, "", f"{_GUESS}: members of one replica set")


# The benchmark scenario of each cost.
SCENARIOS = {
    "handshake_us": "handshake",
    "reauthenticate_us": "reauthenticate",
    "refresh_us": "refresh",
    "renewal_us": "expiry_storm",
    "login_us": "login",
    "request_us": "me_fresh",
    "push_us": "push_1",
    "socket_bytes": "idle",
}
PEER = "vigil"


def node_costs(results: Mapping[str, Any]) -> Costs:
    """Read a node's costs from the benchmark's results. Raises `PlanError` if one is missing or not a number."""
    return Costs(**{name: _figure(results, scenario) for name, scenario in SCENARIOS.items()})


def _figure(results: Mapping[str, Any], scenario: str) -> float:
    lines = results.get("scenarios")
    for line in lines if isinstance(lines, list) else ():
        if isinstance(line, dict) and line.get("key") == scenario:
            peers = line.get("peers")
            ours = peers.get(PEER) if isinstance(peers, dict) else None
            value = ours.get("value") if isinstance(ours, dict) else None
            return _number(value, f"the {PEER} value of the line {scenario!r}")
    raise PlanError(f"the results have no line {scenario!r}: run the whole of `make bench`")


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise PlanError(f"{name} must be a number that is not negative, not {value!r}")
    return float(value)


def store_costs(found: Mapping[str, Any], stores: Stores) -> Stores:
    """Return `stores` with the values of another measurement. Raises `PlanError`."""
    section = found.get("stores")
    if not isinstance(section, dict):
        raise PlanError("there is no object `stores` with the costs of the stores")
    return _with(stores, section)


def _with(figures: T, changes: Mapping[str, object]) -> T:
    known = {each.name for each in fields(figures)}  # type: ignore[arg-type] # a dataclass; typing has no name for one
    unknown = sorted(changes.keys() - known)
    if unknown:
        raise PlanError(f"there is no figure {unknown[0]!r}")
    return replace(figures, **{name: _number(value, name) for name, value in changes.items()})  # type: ignore[type-var]


# Used as divisors.
_POSITIVE = (
    "sockets_per_user", "sockets_per_session", "socket_life_s", "token_life_s", "lead_s", "ping_interval_s",
    "recovery_s",
    "node_utilisation", "storm_utilisation", "memory_share", "redis_utilisation", "mongo_utilisation",
    "sockets_per_node", "node_memory_gib", "redis_memory_gib", "mongo_memory_gib", "mongo_disk_gib", "mongo_cores",
)  # fmt: skip
_SHARES = (
    "together_share",
    "jitter_share", "memory_share", "node_utilisation", "storm_utilisation", "redis_utilisation",
    "mongo_utilisation",
)  # fmt: skip


def assume(settings: Sequence[str], given: Assumptions, stores: Stores) -> tuple[Assumptions, Stores]:
    """Apply `NAME=VALUE` settings to assumptions and store costs. Raises `PlanError`."""
    changes: dict[str, float] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            changes[name] = float(text)
        except ValueError:
            raise PlanError(f"{setting!r} is not NAME=NUMBER") from None
    measured = {name: changes.pop(name) for name in list(changes) if hasattr(stores, name)}
    given, stores = _with(given, changes), _with(stores, measured)
    for name in _POSITIVE:
        if getattr(given, name) <= 0:
            raise PlanError(f"{name} must be greater than 0")
    for name in _SHARES:
        if getattr(given, name) > 1:
            raise PlanError(f"{name} is a share, at most 1")
    if given.zones < 2 or given.zones != int(given.zones):
        raise PlanError("zones must be a whole number, 2 or more: one may be lost")
    if given.lead_s >= given.token_life_s:
        raise PlanError("lead_s must be less than token_life_s")
    return given, stores
