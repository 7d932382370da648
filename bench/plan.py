"""The rules of a capacity plan: nodes, Redis, MongoDB and network for a number of sockets. Pure."""

import math
from dataclasses import dataclass

from bench.plan_figures import Assumptions, Costs, PlanError, Stores

GIB = 2.0**30
DAY = 86_400.0
MICRO = 1e-6
POLLS_A_SECOND = 2


@dataclass(frozen=True, slots=True)
class Rates:
    """Events per second in steady state, at the peak hour."""

    handshakes: float
    leaves: float
    refreshes: float
    reauthentications: float
    requests: float
    logins: float
    revocations: float
    pings: float
    pushes: float


@dataclass(frozen=True, slots=True)
class Load:
    """CPU load in fully used cores. `storm`: additional load when a zone is lost or tokens expire together."""

    steady: float
    storm: float


@dataclass(frozen=True, slots=True)
class Nodes:
    """Number of processes, and the memory of all sockets including the kernel's."""

    number: int
    load: Load
    bytes: float


@dataclass(frozen=True, slots=True)
class Redis:
    """Number of shards, and their data. `log_bytes`: the part of users' logs."""

    shards: int
    load: Load
    bytes: float
    log_bytes: float


@dataclass(frozen=True, slots=True)
class Mongo:
    """Number of shards. `member_cores`: a primary's cores minus the polls'; `hot_bytes`: should fit in memory."""

    shards: int
    load: Load
    member_cores: float
    bytes: float
    hot_bytes: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources for a number of sockets, and their capacity for handshakes and renewals beside steady load."""

    sockets: int
    users: float
    rates: Rates
    nodes: Nodes
    redis: Redis
    mongo: Mongo
    packets: float
    bits: float
    handshakes_per_second: float
    renewals_per_second: float


def rates(sockets: int, given: Assumptions) -> Rates:
    """Compute the rates of all events."""
    users, sessions = sockets / given.sockets_per_user, sockets / given.sockets_per_session
    comings = sockets / given.socket_life_s
    # Renewed at the warning, on average half the jitter after the lead begins.
    token_use = given.token_life_s - given.lead_s * (1 - given.jitter_share / 2)
    return Rates(
        handshakes=comings,
        leaves=comings,
        refreshes=sessions / token_use,
        reauthentications=sockets / token_use,
        requests=comings * given.requests_per_handshake,
        logins=users * given.logins_per_user_day * given.peak_factor / DAY,
        revocations=users * given.revocations_per_user_day * given.peak_factor / DAY,
        pings=sockets / given.ping_interval_s,
        pushes=sockets * given.pushes_per_socket_minute / 60,
    )


def node_cores(each: Rates, costs: Costs, given: Assumptions) -> float:
    """Return the cores used by all nodes together. A revocation counts as a refresh."""
    return MICRO * (
        each.handshakes * costs.handshake_us
        + (each.refreshes + each.revocations) * costs.refresh_us
        + each.reauthentications * costs.reauthenticate_us
        + each.requests * costs.request_us
        + each.logins * costs.login_us
        + each.pings * given.ping_us
        + each.pushes * costs.push_us
    )


def redis_cores(each: Rates, stores: Stores) -> float:
    """Return the cores used by Redis's command threads, without application pushes and node heartbeats."""
    return MICRO * (
        each.handshakes * stores.redis_handshake_us
        + each.leaves * stores.redis_leave_us
        + each.refreshes * stores.redis_refresh_us
        + each.reauthentications * stores.redis_reauthenticate_us
        + each.requests * stores.redis_request_us
        + each.logins * stores.redis_login_us
        + each.revocations * stores.redis_revoke_us
    )


def mongo_cores(each: Rates, stores: Stores) -> float:
    """Return the cores used by MongoDB's primaries. A refresh, its first use and a socket's end write once."""
    return MICRO * (
        each.refreshes * (stores.mongo_refresh_us + stores.mongo_confirm_us)
        + each.handshakes * stores.mongo_handshake_us
        + each.leaves * stores.mongo_touch_us
        + each.requests * stores.mongo_request_us
        + each.logins * stores.mongo_login_us
        + each.revocations * stores.mongo_revoke_us
    )


def mongo_writes(each: Rates) -> float:
    """Return the writes per second. A login and a revocation are about three each, with audit event and marks."""
    return 2 * each.refreshes + each.leaves + 3 * (each.logins + each.revocations)


def cores_wanted(load: Load, utilisation: float, storm_utilisation: float) -> float:
    """Return the cores needed for steady state and for a storm, each at its utilisation limit."""
    return max(load.steady / utilisation, (load.steady + load.storm) / storm_utilisation)


def storm_rates(sockets: int, given: Assumptions) -> tuple[float, float]:
    """Return handshakes per second when a zone is lost, and renewals per second when tokens expire together."""
    return sockets / given.zones / given.recovery_s, sockets * given.together_share / given.lead_s


def left(given: Assumptions) -> float:
    """Return the share of nodes that remains when a zone is lost."""
    return (given.zones - 1) / given.zones


def plan_nodes(sockets: int, each: Rates, costs: Costs, given: Assumptions) -> Nodes:
    """Plan the nodes: at least one per zone, and enough to carry all sockets and reconnects without one zone."""
    back, renewed = storm_rates(sockets, given)
    load = Load(node_cores(each, costs, given), max(back * costs.handshake_us, renewed * costs.renewal_us) * MICRO)
    memory = sockets * (costs.socket_bytes + given.kernel_bytes)
    number = max(
        math.ceil(load.steady / given.node_utilisation),
        math.ceil((load.steady + load.storm) / given.storm_utilisation / left(given)),
        math.ceil(memory / (given.node_memory_gib * GIB * given.memory_share) / left(given)),
        math.ceil(sockets / given.sockets_per_node / left(given)),
        int(given.zones),
    )
    return Nodes(number, load, memory)


def plan_redis(sockets: int, each: Rates, stores: Stores, given: Assumptions) -> Redis:
    """Plan the Redis shards, at least one; each uses one core."""
    back, renewed = storm_rates(sockets, given)
    storm = max(back * stores.redis_return_us, renewed * stores.redis_renewal_us) * MICRO
    load = Load(redis_cores(each, stores), storm)
    beside_the_log = stores.redis_meta_bytes + stores.redis_states_bytes
    of_a_user = given.log_events_per_user * stores.redis_event_bytes + beside_the_log
    logs = sockets / given.sockets_per_user * given.weekly_users_per_online_user * of_a_user
    denied = each.revocations * given.token_life_s * stores.redis_deny_bytes
    memory = sockets * stores.redis_socket_bytes + logs + denied
    shards = max(
        math.ceil(cores_wanted(load, given.redis_utilisation, given.storm_utilisation)),
        math.ceil(memory / (given.redis_memory_gib * GIB * given.memory_share)),
        1,
    )
    return Redis(shards, load, memory, logs)


def plan_mongo(sockets: int, nodes: int, each: Rates, stores: Stores, given: Assumptions) -> Mongo:
    """Plan the MongoDB shards, at least one. Raises `PlanError` if the nodes' polls exceed a member's cores."""
    back, renewed = storm_rates(sockets, given)
    storm = max(back * stores.mongo_handshake_us, renewed * stores.mongo_renewal_us) * MICRO
    load = Load(mongo_cores(each, stores), storm)
    stored, hot = mongo_sizes(sockets / given.sockets_per_user, stores, given)
    # Every node polls every shard for unpublished facts and expired sessions (realtime/delivery/relay.py).
    cores = given.mongo_cores - nodes * POLLS_A_SECOND * stores.mongo_request_us * MICRO
    if cores <= 0:
        raise PlanError(
            f"{nodes:,} nodes that poll MongoDB use all of its {given.mongo_cores:g} cores: set more mongo_cores"
        )
    shards = max(
        math.ceil(cores_wanted(load, given.mongo_utilisation, given.storm_utilisation) / cores),
        math.ceil(hot / (given.mongo_memory_gib * GIB / 2)),
        math.ceil(stored / (given.mongo_disk_gib * GIB * given.memory_share)),
        1,
    )
    return Mongo(shards, load, cores, stored, hot)


def plan(sockets: int, costs: Costs, stores: Stores, given: Assumptions) -> Plan:
    """Return the plan for `sockets` concurrent sockets at the peak."""
    each = rates(sockets, given)
    nodes = plan_nodes(sockets, each, costs, given)
    redis = plan_redis(sockets, each, stores, given)
    mongo = plan_mongo(sockets, nodes.number, each, stores, given)
    all_nodes = nodes.number * given.storm_utilisation - nodes.load.steady
    nodes_left = nodes.number * left(given) * given.storm_utilisation - nodes.load.steady
    redis_spare = redis.shards * given.storm_utilisation - redis.load.steady
    mongo_spare = mongo.shards * mongo.member_cores * given.storm_utilisation - mongo.load.steady
    packets, bits = network(each, given)
    return Plan(
        sockets=sockets,
        users=sockets / given.sockets_per_user,
        rates=each,
        nodes=nodes,
        redis=redis,
        mongo=mongo,
        packets=packets,
        bits=bits,
        handshakes_per_second=_least(
            (nodes_left, costs.handshake_us),
            (redis_spare, stores.redis_return_us),
            (mongo_spare, stores.mongo_handshake_us),
        ),
        renewals_per_second=_least(
            (all_nodes, costs.renewal_us),
            (redis_spare, stores.redis_renewal_us),
            (mongo_spare, stores.mongo_renewal_us),
        ),
    )


def _least(*parts: tuple[float, float]) -> float:
    """Return the operations per second of the bottleneck among parts of (spare cores, µs per operation)."""
    return min((spare / (cost * MICRO) for spare, cost in parts if cost > 0), default=math.inf)


def mongo_sizes(users: float, stores: Stores, given: Assumptions) -> tuple[float, float]:
    """Return the bytes of uncompressed documents and indexes, and the bytes that should fit in memory."""
    accounts = users * given.accounts_per_online_user
    sessions = accounts * given.sessions_per_account
    audits = users * given.logins_per_user_day * given.audit_events_per_login * given.audit_days
    indexes = (
        accounts * stores.user_index_bytes
        + sessions * stores.session_index_bytes
        + audits * stores.audit_index_bytes
    )
    documents = accounts * stores.user_bytes + sessions * stores.session_bytes + audits * stores.audit_bytes
    online = users * given.sockets_per_user / given.sockets_per_session
    return documents + indexes, indexes + users * stores.user_bytes + online * stores.session_bytes


def network(each: Rates, given: Assumptions) -> tuple[float, float]:
    """Return packets and bits per second, both directions together, of pings and pushes with all headers.

    A ping is three packets: the ping, the pong with its acknowledgement, and the pong's acknowledgement. A push is
    two: itself and its acknowledgement. The push payload must include about 20 B for Engine.IO and Socket.IO.
    """
    wrapped = given.ip_bytes + given.tls_bytes
    ping = given.ping_payload_bytes + 2 * wrapped + given.ip_bytes
    push = given.push_payload_bytes + given.websocket_bytes + wrapped + given.ip_bytes
    return 3 * each.pings + 2 * each.pushes, 8 * (each.pings * ping + each.pushes * push)
