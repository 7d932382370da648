"""The operations on sessions over a real MongoDB, with a clock in the test's hand and ears on what is told."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from auth.alerts import Alerts, NotMe
from auth.audit import AuditLog
from auth.clock import utc_now
from auth.devices import Devices
from auth.entry import Entered
from auth.errors import Unavailable
from auth.events import Fact, SecurityAlert, SessionEnded
from auth.keys import KeyRing
from auth.locations import Locations
from auth.metrics import Metrics
from auth.models import Client, Delivery, Device, Session, TokenDelivery, User
from auth.rotation import RotationPolicy
from auth.secrets import RootSecret
from auth.session_terms import SessionRules, StartedSession
from auth.sessions import Sessions
from auth.stores.audit_events import AuditEvent, AuditEvents
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.sessions import Sessions as SessionStore
from auth.tokens import AccessTokens, RefreshTokens
from support.keys import ROOT_SECRET, held_ring

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
LAPTOP = Client(ip="192.0.2.1", user_agent=CHROME)
PHONE = Client(ip="198.51.100.7", user_agent=FIREFOX)

LEEWAY = timedelta(seconds=10)
ACCESS_LIFE = timedelta(minutes=15)
IDLE_LIFE = timedelta(days=7)
WHOLE_LIFE = timedelta(days=30)


@dataclass
class Time:
    """A clock that stands until it is told to go.

    Whole milliseconds, as everywhere. It begins at the real time: MongoDB's TTL monitor reads its own
    clock, and takes what is past there.
    """

    now: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **by: float) -> datetime:
        self.now += timedelta(milliseconds=round(timedelta(**by) / timedelta(milliseconds=1)))
        return self.now


@dataclass
class HeardFacts:
    """A `Publisher` that remembers."""

    facts: list[Fact] = field(default_factory=list)
    waited: list[bool] = field(default_factory=list)

    async def publish(self, facts: Sequence[Fact], *, wait: bool = False) -> Delivery:
        self.facts += facts
        self.waited.append(wait)
        ended = sum(isinstance(fact, SessionEnded) for fact in facts)
        return Delivery(sockets=ended, notified=ended, acknowledged=ended, closed=ended)

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def ended(self) -> list[SessionEnded]:
        return self.of(SessionEnded)

    @property
    def alerts(self) -> list[SecurityAlert]:
        return self.of(SecurityAlert)


@dataclass
class DenyList:
    """A `RevocationList` that knows what was heard to end, while it answers."""

    heard: HeardFacts
    answers: bool = True
    asked: int = 0

    async def is_revoked(self, session_id: str) -> bool:
        self.asked += 1
        if not self.answers:
            raise Unavailable
        return any(fact.session.session_id == session_id for fact in self.heard.ended)


@dataclass
class NobodyOnline:
    """A `PresenceReader` with an answer that the test sets."""

    sessions: frozenset[str] = frozenset()
    version: int = 0

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        return self.sessions, self.version


@dataclass
class Mails:
    """A `TheftNotice` that remembers whom it told, and takes mails about logins."""

    sent: list[str] = field(default_factory=list)
    logins: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    async def new_login(
        self, user: User, *, session: Session, news: tuple[str, ...], token: str, valid_for: timedelta
    ) -> None:
        self.logins.append((session.session_id, news, token))

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        self.sent.append(session.user_id)


@dataclass
class OpenDoor:
    """A `Door` that lets every session in as it is; auth/entry.py has tests of its own."""

    store: SessionStore

    async def enter(self, session: Session, *, credentials_version: int) -> Entered:
        await self.store.create(session)
        return Entered(session)


class CountingStore(SessionStore):
    """The real store, with the writes of a confirmation counted."""

    confirmed = 0
    touched = 0

    async def confirm(self, session_id: str, generation: int, *, now: datetime) -> None:
        self.confirmed += 1
        await super().confirm(session_id, generation, now=now)

    async def touch(self, session_id: str, *, now: datetime) -> None:
        self.touched += 1
        await super().touch(session_id, now=now)


def make_user(now: datetime, *, roles: tuple[str, ...] = ("user",)) -> User:
    user_id = secrets.token_hex(8)
    return User(user_id, f"{user_id}@example.org", "Ada", None, roles, now, email_verified_at=now)


def make_session(now: datetime, **changes: Any) -> Session:
    """A session as it is right after a login."""
    values: dict[str, Any] = {
        "session_id": secrets.token_hex(16),
        "user_id": secrets.token_hex(8),
        "nonce_hash": secrets.token_bytes(32),
        "generation": 0,
        "confirmed": False,
        "delivery": TokenDelivery.BODY,
        "roles": ("user",),
        "amr": ("pwd",),
        "device": Device("Chrome on Windows", "Chrome", "Windows", "desktop"),
        "user_agent": CHROME,
        "ip": LAPTOP.ip,
        "location": None,
        "logged_in_at": now,
        "last_seen_at": now,
        "rotated_at": now,
        "expires_at": now + IDLE_LIFE,
        "ends_at": now + WHOLE_LIFE,
    }
    return Session(**values | changes)


@dataclass
class World:
    """Everything around the sessions of one test."""

    time: Time
    store: CountingStore
    sessions: Sessions
    facts: HeardFacts
    deny_list: DenyList
    presence: NobodyOnline
    mails: Mails
    ring: KeyRing
    refresh_tokens: RefreshTokens
    audit_events: AuditEvents
    metrics: Metrics
    mongo: Mongo
    not_me: NotMe

    @property
    def devices(self) -> Devices:
        return DEVICES

    @property
    def locations(self) -> Locations:
        return LOCATIONS

    async def log_in(
        self, user: User, client: Client = LAPTOP, *, delivery: TokenDelivery = TokenDelivery.BODY
    ) -> StartedSession:
        return await self.sessions.start(user, amr=["pwd"], device_name=None, delivery=delivery, client=client)

    async def stored(self, session: Session) -> Session:
        found = await self.store.get(session.session_id)
        assert found is not None
        return found

    async def trail(self, user: User) -> list[AuditEvent]:
        """The user's audit events, oldest first."""
        return (await self.audit_events.of_user(user.user_id))[::-1]

    def refreshes(self, outcome: str) -> float:
        return self.metrics.refreshes.labels(outcome)._value.get()


async def make_world(mongo: Mongo, *, theft_ends_all: bool = True, indexes: bool = True) -> World:
    """A world of its own on the database of `mongo`."""
    time, facts, presence, mails, metrics = Time(), HeardFacts(), NobodyOnline(), Mails(), Metrics()
    store = CountingStore(mongo.database, revoked_kept=timedelta(days=90))
    if indexes:
        await store.ensure_indexes()
    audit_events = AuditEvents(mongo.database)
    ring = await held_ring(time)
    refresh_tokens = RefreshTokens(RootSecret(ROOT_SECRET).derive("refresh tokens"))
    deny_list = DenyList(facts)
    audit = AuditLog(store=audit_events, keep=timedelta(days=90), metrics=metrics)
    tokens = OneTimeTokens(mongo.database)
    mailer: Any = mails
    sessions = Sessions(
        store=store,
        entry=OpenDoor(store),
        access_tokens=AccessTokens(ring, issuer="https://id.example.org", audience="vigil", lifetime=ACCESS_LIFE),
        refresh_tokens=refresh_tokens,
        revocations=deny_list,
        publisher=facts,
        presence=presence,
        audit=audit,
        devices=DEVICES,
        locations=LOCATIONS,
        theft_notice=mails,
        risks=Alerts(store=store, tokens=tokens, mailer=mailer, audit=audit, metrics=metrics),
        rules=SessionRules(
            idle_life=IDLE_LIFE,
            whole_life=WHOLE_LIFE,
            rotation=RotationPolicy(leeway=LEEWAY),
            theft_ends_all=theft_ends_all,
        ),
        metrics=metrics,
        clock=time,
    )
    return World(
        time,
        store,
        sessions,
        facts,
        deny_list,
        presence,
        mails,
        ring,
        refresh_tokens,
        audit_events,
        metrics,
        mongo,
        NotMe(sessions=sessions, tokens=tokens, audit=audit, clock=time),
    )


DEVICES = Devices()
LOCATIONS = Locations(country_database=None, city_database=None)
