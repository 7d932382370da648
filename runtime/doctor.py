"""`server.py doctor`: examines settings, stores and machine, and says what to do. It changes nothing."""

import json
import os
import resource
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from auth.core.clock import utc_now
from auth.core.errors import StartRefused, Unavailable
from auth.crypto.signing_keys import KeyRing, KeySecretChanged, choose_current
from auth.crypto.tokens import LEEWAY
from auth.platform.hosts import is_loopback
from auth.platform.node_clock import MAX_DIFFERENCE
from auth.platform.redis.link import RedisLink, as_text
from auth.platform.redis.master import Master, read_info
from auth.platform.settings.settings import Settings
from auth.stores.change_feed import FeedStart
from auth.stores.diagnosis import Diagnosis, MongoFacts
from auth.stores.schema import VERSION
from auth.stores.stores import Stores, missing_indexes
from runtime.provision import root, services

State = Literal["ok", "warn", "fail"]

MIN_MONGO = (6, 0)
MIN_REDIS = (7, 0)
CLOCK_WARNS = timedelta(seconds=1)
# A signing key in use for longer should be rotated.
KEY_AGE = timedelta(days=180)
# Each socket is a file; docs/operations.md, sizing.
FEW_FILES, TOO_FEW_FILES = 10_000, 1_000
FULL = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` says what to do, unless it is ok."""

    check: str
    state: State
    found: str
    advice: str = ""


def report(findings: list[Finding], *, as_json: bool) -> int:
    """Print the findings; return 1 if a check failed, else 0."""
    states = {finding.state for finding in findings}
    worst: State = "fail" if "fail" in states else "warn" if "warn" in states else "ok"
    if as_json:
        print(json.dumps({"state": worst, "checks": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for each in findings:
            print(f"{each.state:<4}  {each.check}: {each.found}" + (f" -- {each.advice}" if each.advice else ""))
    return int(worst == "fail")


def report_refusal(refused: StartRefused, *, as_json: bool) -> int:
    """Report that the settings are refused, so that nothing else can be examined."""
    return report([Finding("settings", "fail", str(refused), "docs/settings.md")], as_json=as_json)


async def examine(settings: Settings, *, as_json: bool) -> int:
    """Make all checks and print them; return 1 if one failed, else 0."""
    findings = [Finding("settings", "ok", "every variable has a usable value"), *_addresses(settings), _files()]
    try:
        async with services(settings, borrow=True) as (mongo_url, redis_url):
            findings += await _mongo(settings, mongo_url)
            findings += await _redis(settings, redis_url)
    except StartRefused as refused:
        findings.append(Finding("stores", "fail", str(refused), "docs/settings.md"))
    return report(findings, as_json=as_json)


# Settings and machine


def _addresses(settings: Settings) -> Iterator[Finding]:
    """Public URL, origins, proxies, mail."""
    url = settings.public_url
    if not settings.is_public:
        yield Finding("public url", "warn", url, "set VIGIL_PUBLIC_URL to the URL under which users reach it")
    elif urlsplit(url).scheme != "https":
        yield Finding("public url", "fail", url, "use https: cookies and tokens could be read on the way")
    else:
        yield Finding("public url", "ok", url)
    plain = [
        origin
        for origin in settings.allowed_origins - settings.own_origins
        if origin.startswith("http://") and not is_loopback(urlsplit(origin).hostname or "")
    ]
    if plain:
        yield Finding("origins", "warn", ", ".join(plain), "anybody on the way can change a page without https")
    else:
        yield Finding("origins", "ok", f"{len(settings.allowed_origins)} allowed")
    if settings.is_public and not settings.server.trusted_proxies:
        yield Finding(
            "proxies",
            "warn",
            "none is trusted",
            "behind a proxy, set VIGIL_TRUSTED_PROXIES: all clients share limits",
        )
    else:
        yield Finding("proxies", "ok", ", ".join(map(str, settings.server.trusted_proxies)) or "none")
    if settings.accounts.smtp_url is None and not settings.dev_outbox:
        yield Finding("mail", "fail", "no mail server", "set VIGIL_SMTP_URL: nobody can confirm an address")
    else:
        yield Finding("mail", "ok", "the outbox" if settings.dev_outbox else "a mail server is set")


def _files() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = limit - len(os.listdir("/dev/fd"))
    found = f"{free} free of {limit}"
    state: State = "ok" if free >= FEW_FILES else "warn" if free >= TOO_FEW_FILES else "fail"
    return Finding(
        "file handles", state, found, "" if state == "ok" else "raise LimitNOFILE: each socket takes one"
    )


# MongoDB


async def _mongo(settings: Settings, url: str) -> list[Finding]:
    stores = Stores(settings, url)
    try:
        facts = await Diagnosis(stores.mongo.database).facts(utc_now)
        return [
            _version("mongodb version", facts.version, MIN_MONGO),
            _replica_set(facts),
            _clock("mongodb clock", facts.ahead, facts.takes_at_most),
            await _schema(stores),
            await _indexes(settings, stores),
            await _keys(settings, stores),
            await _change_streams(stores),
        ]
    except Unavailable as down:
        why = type(down.__cause__).__name__
        return [Finding("mongodb", "fail", f"no answer ({why})", "check VIGIL_MONGO_URL")]
    finally:
        await stores.mongo.close()


def _replica_set(facts: MongoFacts) -> Finding:
    name = "mongodb replica set"
    if facts.is_standalone:
        return Finding(name, "fail", "a single server", "make it a replica set: it can lose acknowledged writes")
    if facts.is_sharded:
        return Finding(name, "ok", "a sharded cluster")
    if facts.members < 3:
        return Finding(name, "warn", f"{facts.members} members", "have three: nothing takes over if one fails")
    return Finding(name, "ok", f"{facts.members} members")


async def _schema(stores: Stores) -> Finding:
    try:
        version = await stores.schema.read()
    except StartRefused as newer:
        return Finding("schema", "fail", str(newer).partition(": ")[0], str(newer).partition(": ")[2])
    if version is not None and version < VERSION:
        return Finding(
            "schema", "warn", f"{version} of {VERSION}", "server.py migrate, after the last node's update"
        )
    return Finding("schema", "ok", "a new database" if version is None else str(version))


async def _indexes(settings: Settings, stores: Stores) -> Finding:
    missing = await missing_indexes(settings, stores.mongo.database)
    if missing:
        found = f"missing: {', '.join(missing)}" if len(missing) < 6 else f"{len(missing)} are missing"
        return Finding("indexes", "warn", found, "the next start of a node creates them")
    return Finding("indexes", "ok", "all exist")


async def _keys(settings: Settings, stores: Stores) -> Finding:
    ring = KeyRing.under(root(settings), stores.signing_keys, token_life=LEEWAY, clock=utc_now)
    try:
        await ring.reload()
    except KeySecretChanged:
        return Finding("signing keys", "fail", "another secret sealed them", "set VIGIL_SECRET_KEY to that secret")
    if settings.tokens.second_secret_key is not None:
        return Finding("signing keys", "warn", "two root secrets", "finish the replacement: docs/operations.md")
    current = choose_current(await stores.signing_keys.all())
    if current is None or current.activated_at is None:
        return Finding("signing keys", "ok", "none yet")
    age = utc_now() - current.activated_at
    if age > KEY_AGE:
        return Finding("signing keys", "warn", f"{age.days} days old", "server.py keys rotate")
    return Finding("signing keys", "ok", f"{age.days} days old")


async def _change_streams(stores: Stores) -> Finding:
    name, feed = "facts", stores.change_feed()
    try:
        await feed.open(FeedStart(None))
        await feed.next()
    except Unavailable as down:
        why = type(down.__cause__).__name__
        return Finding(
            name, "fail", f"no changes can be read ({why})", "give its user the role readWrite on the database"
        )
    finally:
        await feed.close()
    return Finding(name, "ok", "changes can be read")


# Redis


async def _redis(settings: Settings, url: str) -> list[Finding]:
    link = RedisLink(url, prefix=settings.stores.redis_prefix, name="vigil-doctor")
    try:
        problem = await link.problem()
        if problem is not None:
            return [Finding("redis", "fail", problem, "check VIGIL_REDIS_URL")]
        await link.look_up_masters()
        findings = []
        for master in link.masters:
            name = f"redis {master.address.place}" if link.is_cluster else "redis"
            findings += await _master(name, master)
        return findings
    except Unavailable as down:
        return [Finding("redis", "fail", f"no answer ({down.__cause__})"[:160], "check VIGIL_REDIS_URL")]
    finally:
        await link.close()


async def _master(name: str, master: Master) -> list[Finding]:
    facts = read_info(as_text(await master.execute("INFO")))
    asked = utc_now()
    theirs = await master.time()
    answered = utc_now()
    return [
        _version(f"{name} version", facts["redis_version"], MIN_REDIS),
        _clock(f"{name} clock", theirs - (asked + (answered - asked) / 2), answered - asked),
        _persistence(f"{name} persistence", facts),
        _eviction(f"{name} eviction", facts),
    ]


def _persistence(name: str, facts: dict[str, str]) -> Finding:
    if facts.get("aof_last_write_status", "ok") != "ok" or facts.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding(name, "fail", "the last write to disk failed", "see the log of Redis: it may refuse writes")
    if facts.get("aof_enabled") == "1":
        return Finding(name, "ok", "append-only file")
    # Allowed: what Redis loses is restored from MongoDB, but for limits, and until then MongoDB is asked.
    return Finding(
        name, "warn", "no append-only file", "set appendonly yes: a restart resets rate limits and logs"
    )


def _eviction(name: str, facts: dict[str, str]) -> Finding:
    most, used = int(facts.get("maxmemory", 0)), int(facts.get("used_memory", 0))
    policy = facts.get("maxmemory_policy", "noeviction")
    if most and policy != "noeviction":
        return Finding(name, "fail", policy, "set maxmemory-policy noeviction")
    if most and used > FULL * most:
        return Finding(name, "warn", f"{used / most:.0%} of maxmemory used", "give Redis more memory")
    return Finding(name, "ok", "never" if policy == "noeviction" else f"{policy}, without maxmemory")


def _version(name: str, version: str, minimum: tuple[int, int]) -> Finding:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < minimum:
        return Finding(name, "fail", version, f"install {minimum[0]}.{minimum[1]} or newer")
    return Finding(name, "ok", version)


def _clock(name: str, ahead: timedelta, uncertainty: timedelta) -> Finding:
    off = max(timedelta(0), abs(ahead) - uncertainty)
    found = f"{ahead.total_seconds():+.3f} s"
    if off < CLOCK_WARNS:
        return Finding(name, "ok", found)
    state: State = "warn" if off <= MAX_DIFFERENCE else "fail"
    return Finding(name, state, found, "synchronise the clocks (NTP): tokens are accepted by time")
