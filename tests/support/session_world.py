"""Session operations on a real MongoDB, with a settable clock and recording test doubles."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from auth.alerts.alerts import Alerts, NotMe
from auth.audit import AuditLog
from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.events import Fact, SecurityAlert, SessionEnded
from auth.core.models import Client, Delivery, Device, Principal, Session, TokenDelivery, User
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import AccessTokens, RefreshTokens
from auth.notifications.mail_contents import MailContent, NewLogin, RefreshElsewhere
from auth.platform.metrics import Metrics
from auth.services import Services
from auth.sessions.rotation import RotationPolicy
from auth.sessions.session_start import NewSession
from auth.sessions.sessions import Sessions
from auth.sessions.types import SessionRules, StartedSession
from auth.stores.audit_events import AuditEvent, AuditEvents
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.sessions.alerts import SessionAlerts
from auth.stores.sessions.store import SessionStore
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
    """A clock that only moves by `go`, in whole milliseconds.

    It starts at the real time, since MongoDB's TTL monitor uses the real clock and deletes expired documents.
    """

    now: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **by: float) -> datetime:
        self.now += timedelta(milliseconds=round(timedelta(**by) / timedelta(milliseconds=1)))
        return self.now


@dataclass
class RecordingPublisher:
    """A `Publisher` that records facts."""

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
    """A `RevocationList` of the sessions whose end was published. `answers` False makes it unavailable."""

    heard: RecordingPublisher
    answers: bool = True
    asked: int = 0
    life: timedelta = timedelta(minutes=16)

    async def is_revoked(self, user_id: str, session_id: str) -> bool:
        self.asked += 1
        if not self.answers:
            raise Unavailable
        return any(fact.session.session_id == session_id for fact in self.heard.ended)


@dataclass
class FakePresence:
    """A `PresenceReader` with a settable answer."""

    sessions: frozenset[str] = frozenset()
    version: int = 0
    forgotten: list[str] = field(default_factory=list)

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        return self.sessions, self.version

    async def forget(self, user_id: str) -> None:
        self.forgotten.append(user_id)


@dataclass
class Mails:
    """A mailer that records its mails."""

    sent: list[str] = field(default_factory=list)
    logins: list[NewLogin] = field(default_factory=list)
    elsewhere: list[RefreshElsewhere] = field(default_factory=list)

    async def send(self, user: User, content: MailContent) -> None:
        if isinstance(content, NewLogin):
            self.logins.append(content)
        if isinstance(content, RefreshElsewhere):
            self.elsewhere.append(content)

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        self.sent.append(session.user_id)


@dataclass
class UserLookup:
    """The users who have logged in, for `Alerts`."""

    users: dict[str, User] = field(default_factory=dict)

    async def by_id(self, user_id: str) -> User | None:
        return self.users.get(user_id)


@dataclass
class UncheckedSessionStart:
    """Starts every session unchecked; auth/sessions/session_start.py has its own tests."""

    store: SessionStore

    async def enter(self, session: Session, *, credentials_version: int) -> NewSession:
        await self.store.create(session)
        return NewSession(session)


class CountingStore(SessionStore):
    """The real store, with counters of reads and of confirmation writes."""

    confirmed = 0
    touched = 0
    read = 0

    async def get(self, session_id: str, *, user_id: str | None = None) -> Session | None:
        found = await super().get(session_id, user_id=user_id)
        self.read += 1
        return found

    async def confirm(self, session_id: str, generation: int, *, user_id: str, now: datetime) -> None:
        self.confirmed += 1
        await super().confirm(session_id, generation, user_id=user_id, now=now)

    async def touch(self, session_id: str, *, user_id: str, now: datetime) -> None:
        self.touched += 1
        await super().touch(session_id, user_id=user_id, now=now)


def make_user(now: datetime, *, roles: tuple[str, ...] = ("user",)) -> User:
    user_id = secrets.token_hex(8)
    return User(user_id, f"{user_id}@example.org", "Ada", None, roles, now, email_verified_at=now)


def make_session(now: datetime, **changes: Any) -> Session:
    """Build a session as it is right after a login."""
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


def principal_of(session: Session) -> Principal:
    """Return the principal of the session right after its login."""
    at = session.logged_in_at
    return Principal(session.user_id, session.session_id, 0, (), session.amr, at, at, at)


@dataclass
class World:
    """The session operations, stores and test doubles of one test."""

    time: Time
    store: CountingStore
    sessions: Sessions
    facts: RecordingPublisher
    deny_list: DenyList
    presence: FakePresence
    mails: Mails
    ring: KeyRing
    refresh_tokens: RefreshTokens
    audit_events: AuditEvents
    metrics: Metrics
    mongo: Mongo
    not_me: NotMe
    users: UserLookup

    @property
    def devices(self) -> Devices:
        return DEVICES

    @property
    def locations(self) -> Locations:
        return LOCATIONS

    async def log_in(
        self, user: User, client: Client = LAPTOP, *, delivery: TokenDelivery = TokenDelivery.BODY
    ) -> StartedSession:
        self.users.users[user.user_id] = user
        return await self.sessions.start(user, amr=["pwd"], device_name=None, delivery=delivery, client=client)

    async def stored(self, session: Session) -> Session:
        found = await self.store.get(session.session_id)
        assert found is not None
        return found

    async def trail(self, user: User) -> list[AuditEvent]:
        """Return the user's audit events, oldest first."""
        return (await self.audit_events.of_user(user.user_id))[::-1]

    def refreshes(self, outcome: str) -> float:
        return self.metrics.refreshes.labels(outcome)._value.get()


def stand_in_services(*, clock: Any, **parts: Any) -> Services:
    """Build `Services` from test doubles; services not given are None."""
    every: dict[str, Any] = dict.fromkeys(("users", "audit", "limits", "mailer", "metrics"))
    return Services(**(every | parts), clock=clock)


async def make_world(mongo: Mongo, *, theft_ends_all: bool = True, elsewhere_ends: bool = False) -> World:
    """Create a `World` on the database of `mongo`."""
    time, facts, presence, mails, metrics = Time(), RecordingPublisher(), FakePresence(), Mails(), Metrics()
    store = CountingStore(mongo.database, revoked_kept=timedelta(days=90))
    audit_events = AuditEvents(mongo.database)
    ring = await held_ring(time)
    refresh_tokens = RefreshTokens(RootSecret(ROOT_SECRET).derive("refresh tokens"))
    deny_list = DenyList(facts)
    audit = AuditLog(store=audit_events, keep=timedelta(days=90), metrics=metrics, clock=time)
    tokens = OneTimeTokens(mongo.database)
    users = UserLookup()
    services = stand_in_services(users=users, audit=audit, mailer=mails, metrics=metrics, clock=time)
    sessions = Sessions(
        services,
        store=store,
        session_start=cast("Any", UncheckedSessionStart(store)),
        access_tokens=AccessTokens(ring, issuer="https://id.example.org", audience="vigil", lifetime=ACCESS_LIFE),
        refresh_tokens=refresh_tokens,
        revocations=deny_list,
        publisher=facts,
        presence=presence,
        devices=DEVICES,
        locations=LOCATIONS,
        risks=Alerts(services, store=store, alerts=SessionAlerts(mongo.database), tokens=tokens),
        rules=SessionRules(
            idle_life=IDLE_LIFE,
            whole_life=WHOLE_LIFE,
            rotation=RotationPolicy(leeway=LEEWAY, elsewhere_ends=elsewhere_ends),
            theft_ends_all=theft_ends_all,
        ),
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
        NotMe(services, sessions=sessions, store=store, tokens=tokens),
        users,
    )


DEVICES = Devices()
LOCATIONS = Locations(country_database=None, city_database=None)
