"""The rules of a plan: what so many sockets need of nodes, Redis, MongoDB and network. Pure."""

import math
from dataclasses import dataclass

from bench.plan_figures import Assumptions, Costs, PlanError, Stores

GIB = 2.0**30
DAY = 86_400.0
MICRO = 1e-6
POLLS_A_SECOND = 2


@dataclass(frozen=True, slots=True)
class Rates:
    """What happens each second in steady state, at the peak hour."""

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
    """CPU in cores that work without pause; `storm`: added when a zone is lost, or when tokens end together."""

    steady: float
    storm: float


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many processes, and the memory of all sockets, the kernel's too."""

    number: int
    load: Load
    bytes: float


@dataclass(frozen=True, slots=True)
class Redis:
    """How many shards, and what they hold; `log_bytes`: of that, users' logs."""

    shards: int
    load: Load
    bytes: float
    log_bytes: float


@dataclass(frozen=True, slots=True)
class Mongo:
    """How many shards; `member_cores`: of a primary, without what polls take; `hot_bytes`: to be in memory."""

    shards: int
    load: Load
    member_cores: float
    bytes: float
    hot_bytes: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many sockets need, and how many handshakes and renewals it can do beside its steady load."""

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
    """How often everything happens."""
    users, sessions = sockets / given.sockets_per_user, sockets / given.sockets_per_session
    comings = sockets / given.socket_life_s
    # Renewed at the warning: in the mean half the jitter after the lead begins.
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
    """Cores that all nodes together keep busy. A revocation is counted as a refresh."""
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
    """Cores of Redis' command threads. An application's pushes and nodes' heartbeats are not among them."""
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
    """Cores of MongoDB's primaries: a refresh is one write, its first use another, a socket's end a third."""
    return MICRO * (
        each.refreshes * (stores.mongo_refresh_us + stores.mongo_confirm_us)
        + each.handshakes * stores.mongo_handshake_us
        + each.leaves * stores.mongo_touch_us
        + each.requests * stores.mongo_request_us
        + each.logins * stores.mongo_login_us
        + each.revocations * stores.mongo_revoke_us
    )


def mongo_writes(each: Rates) -> float:
    """Writes a second; a login and a revocation are some three each, audit event and marks among them."""
    return 2 * each.refreshes + each.leaves + 3 * (each.logins + each.revocations)


def cores_wanted(load: Load, utilisation: float, storm_utilisation: float) -> float:
    """Cores for steady state at its utilisation, and for a storm at the greater one."""
    return max(load.steady / utilisation, (load.steady + load.storm) / storm_utilisation)


def storm_rates(sockets: int, given: Assumptions) -> tuple[float, float]:
    """Handshakes a second when a zone is lost, and renewals a second when tokens end together."""
    return sockets / given.zones / given.recovery_s, sockets * given.together_share / given.lead_s


def left(given: Assumptions) -> float:
    """The share of nodes that is left when a zone is lost."""
    return (given.zones - 1) / given.zones


def plan_nodes(sockets: int, each: Rates, costs: Costs, given: Assumptions) -> Nodes:
    """At least one a zone. What is left without one zone carries everybody, and those who come back too."""
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
    """At least one shard; a core each."""
    back, renewed = storm_rates(sockets, given)
    storm = max(back * stores.redis_return_us, renewed * stores.redis_renewal_us) * MICRO
    load = Load(redis_cores(each, stores), storm)
    of_a_user = given.log_events_per_user * stores.redis_event_bytes + stores.redis_meta_bytes
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
    """At least one shard. Raises `PlanError` when so many nodes ask more than a member can answer."""
    back, renewed = storm_rates(sockets, given)
    storm = max(back * stores.mongo_handshake_us, renewed * stores.mongo_renewal_us) * MICRO
    load = Load(mongo_cores(each, stores), storm)
    stored, hot = mongo_sizes(sockets / given.sockets_per_user, stores, given)
    # Every node asks every shard for news that nobody told and sessions that expired (realtime/relay.py).
    cores = given.mongo_cores - nodes * POLLS_A_SECOND * stores.mongo_request_us * MICRO
    if cores <= 0:
        raise PlanError(
            f"{nodes:,} nodes that poll MongoDB leave none of its {given.mongo_cores:g} cores: give it more"
        )
    shards = max(
        math.ceil(cores_wanted(load, given.mongo_utilisation, given.storm_utilisation) / cores),
        math.ceil(hot / (given.mongo_memory_gib * GIB / 2)),
        math.ceil(stored / (given.mongo_disk_gib * GIB * given.memory_share)),
        1,
    )
    return Mongo(shards, load, cores, stored, hot)


def plan(sockets: int, costs: Costs, stores: Stores, given: Assumptions) -> Plan:
    """The plan for `sockets` open at once at the peak."""
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
    """How many a second the tightest part does: of each, the cores it can spare and what one costs it in µs."""
    return min((spare / (cost * MICRO) for spare, cost in parts if cost > 0), default=math.inf)


def mongo_sizes(users: float, stores: Stores, given: Assumptions) -> tuple[float, float]:
    """Bytes of documents, uncompressed, and indexes; and those that ought to be in memory."""
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
    """Packets a second in both directions, and bits a second of pings and pushes with all that wraps them.

    A ping is three packets: the ping, the pong that acknowledges it, and the pong's own acknowledgement. A push
    is two: itself and its acknowledgement. Engine.IO and Socket.IO add some 20 B, which the payload is to include.
    """
    wrapped = given.ip_bytes + given.tls_bytes
    ping = given.ping_payload_bytes + 2 * wrapped + given.ip_bytes
    push = given.push_payload_bytes + given.websocket_bytes + wrapped + given.ip_bytes
    return 3 * each.pings + 2 * each.pushes, 8 * (each.pings * ping + each.pushes * push)
