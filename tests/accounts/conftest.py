"""The account operations on real stores, with what surrounds them kept in sight.

`world` has every operation; `world.client(ip)` is a caller, `world.now` the time they all read.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from support.nodes import ServiceUrls

from auth.admission import Admission, LoggedIn, MfaPending
from auth.audit import AuditLog
from auth.clock import utc_now
from auth.jobs import Jobs
from auth.locations import Locations
from auth.login import Login
from auth.mail.mailer import Mailer
from auth.mail.senders import OutboxSender
from auth.mail.templates import MailTemplates
from auth.metrics import Metrics
from auth.models import (
    Client,
    Delivery,
    Device,
    IssuedTokens,
    Principal,
    RevocationReason,
    Session,
    SessionsToEnd,
    TokenDelivery,
    User,
)
from auth.password_reset import PasswordReset
from auth.passwords import Passwords
from auth.profile import Profile
from auth.rate_limits import RateLimits
from auth.recovery_codes import RecoveryCodeFactor
from auth.registration import Registration
from auth.sealing import Seal
from auth.second_factors import SecondFactor, SecondFactors
from auth.session_endings import SessionEndings
from auth.session_terms import Revoked
from auth.settings import LimitSettings
from auth.step_up import StepUp
from auth.stores.audit_events import AuditEvent, AuditEvents
from auth.stores.challenges import Challenges
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.outbox import Outbox
from auth.stores.passkeys import Passkeys
from auth.stores.session_endings import SessionEndings as SessionEndingStore
from auth.stores.sessions import Sessions as SessionStore
from auth.stores.users import Users
from auth.totp import TotpFactor
from auth.two_factor import TwoFactor

# MongoDB's TTL index reads the real clock, and a long run is at the end of it: what is short-lived lies a day
# ahead.
START = utc_now() + timedelta(days=1)
PASSWORD = "correct horse battery staple"
# The least that Argon2 takes: these tests are not about its strength.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True)
class Started:
    session: Session
    tokens: IssuedTokens


@dataclass
class SessionsInSight:
    """Stands in for the sessions: begins them in memory and remembers which were ended."""

    now: datetime
    started: list[tuple[User, dict[str, Any]]] = field(default_factory=list)
    ended: list[tuple[str, RevocationReason]] = field(default_factory=list)

    async def start(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> Started:
        self.started.append((user, {"amr": tuple(amr), "device_name": device_name, "delivery": delivery}))
        return Started(session_of(user, self.now), IssuedTokens("a", self.now, "r", self.now))

    async def end_those(
        self, user_id: str, those: SessionsToEnd, *, only_begun_before: bool, client: Client
    ) -> Revoked:
        self.ended.append((user_id, those.reason))
        return Revoked(1, Delivery())


def session_of(user: User, now: datetime, **changes: Any) -> Session:
    values: dict[str, Any] = {
        "session_id": secrets.token_hex(16),
        "user_id": user.user_id,
        "nonce_hash": b"",
        "generation": 0,
        "confirmed": False,
        "delivery": TokenDelivery.BODY,
        "roles": (),
        "amr": ("pwd",),
        "device": Device("Chrome on Android"),
        "user_agent": "",
        "ip": "192.0.2.1",
        "location": None,
        "logged_in_at": now,
        "last_seen_at": now,
        "rotated_at": now,
        "expires_at": now,
        "ends_at": now,
    }
    return Session(**values | changes)


class CountingPasswords(Passwords):
    """Real Argon2 with quick parameters, counted."""

    def __init__(self, hasher: PasswordHasher = QUICK) -> None:
        self.hashed = 0
        self.verified = 0
        super().__init__(workers=2, hasher=hasher)

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)

    async def verify(self, **values: Any) -> Any:
        self.verified += 1
        return await super().verify(**values)


class World:
    """Every operation on accounts, made as the composition root makes them."""

    def __init__(self, mongo: Mongo, redis_url: str, namespace: str) -> None:
        self.now = START
        self.mongo = mongo
        self.redis_url = redis_url
        self.namespace = namespace
        database = mongo.database
        self.users = Users(database)
        self.tokens = OneTimeTokens(database)
        self.challenges = Challenges(database)
        self.factor_secrets = FactorSecrets(database)
        self.session_store = SessionStore(database, revoked_kept=timedelta(days=90))
        self.events = AuditEvents(database)
        self.outbox = Outbox(database, keep_content=True)
        self.metrics = Metrics()
        self.passwords = CountingPasswords()
        self.sessions = SessionsInSight(START)
        self.endings = SessionEndings(
            store=SessionEndingStore(database), sessions=self.sessions, clock=lambda: self.now
        )
        self.locations = Locations()
        self.audit = AuditLog(store=self.events, keep=timedelta(days=90), metrics=self.metrics)
        self.jobs = Jobs(
            redis_url=redis_url,
            namespace=namespace,
            outbox=self.outbox,
            sender=OutboxSender(),
            metrics=self.metrics,
            clock=lambda: self.now,
        )
        self.mailer = Mailer(
            templates=MailTemplates(public_url="https://vigil.example", locations=self.locations),
            jobs=self.jobs,
            users=self.users,
            metrics=self.metrics,
        )
        self.seal = Seal(secrets.token_bytes(32))
        self.factors: list[SecondFactor] = []
        self._all_limits: list[RateLimits] = []
        self.use_limits()

    def use_limits(self, *, require_verified_email: bool = True, **limits: Any) -> None:
        """Make the operations anew with these limits."""
        self.limits = RateLimits(
            settings=LimitSettings(**limits),
            redis_url=self.redis_url,
            namespace=self.namespace,
            metrics=self.metrics,
        )
        self._all_limits.append(self.limits)
        self.totp = TotpFactor(self.factor_secrets, self.seal, self.limits, lambda: self.now)
        self.recovery_codes = RecoveryCodeFactor(
            self.factor_secrets, self.mailer, lambda: self.now, beside=[self.totp]
        )
        self.second_factors = SecondFactors([self.totp, self.recovery_codes, *self.factors])
        self.admission = Admission(
            users=self.users,
            sessions=self.sessions,
            second_factors=self.second_factors,
            challenges=self.challenges,
            notice=self.mailer,
            limits=self.limits,
            audit=self.audit,
            metrics=self.metrics,
            clock=lambda: self.now,
            require_verified_email=require_verified_email,
        )
        self.login_operation = Login(
            users=self.users,
            passwords=self.passwords,
            admission=self.admission,
            limits=self.limits,
            audit=self.audit,
            metrics=self.metrics,
            clock=lambda: self.now,
        )
        self.registration = Registration(
            users=self.users,
            tokens=self.tokens,
            passwords=self.passwords,
            mailer=self.mailer,
            endings=self.endings,
            limits=self.limits,
            audit=self.audit,
            clock=lambda: self.now,
            require_verified_email=require_verified_email,
        )
        self.profile = Profile(users=self.users)
        self.step_up = StepUp(
            users=self.users,
            sessions=self.session_store,
            second_factors=self.second_factors,
            passwords=self.passwords,
            limits=self.limits,
            audit=self.audit,
            clock=lambda: self.now,
        )
        self.two_factor = TwoFactor(
            store=self.factor_secrets,
            seal=self.seal,
            totp_factor=self.totp,
            code_factor=self.recovery_codes,
            second_factors=self.second_factors,
            passkeys=Passkeys(self.mongo.database),
            step_up=self.step_up,
            users=self.users,
            endings=self.endings,
            assurances=self.session_store,
            notice=self.mailer,
            limits=self.limits,
            audit=self.audit,
            clock=lambda: self.now,
            service="Vigil",
        )

    def password_reset(self) -> PasswordReset:
        """The operation, with the limits of now."""
        return PasswordReset(
            users=self.users,
            tokens=self.tokens,
            passwords=self.passwords,
            endings=self.endings,
            mailer=self.mailer,
            limits=self.limits,
            audit=self.audit,
            clock=lambda: self.now,
        )

    async def open(self) -> None:
        for store in (self.users, self.tokens, self.challenges, self.factor_secrets, self.events, self.outbox):
            await store.ensure_indexes()
        await self.jobs.start(work=False)

    async def close(self) -> None:
        await self.jobs.stop()
        for limits in self._all_limits:
            await limits.close()
        self.passwords.close()
        self.locations.close()

    def client(self, ip: str = "192.0.2.10") -> Client:
        return Client(ip=ip, user_agent="Mozilla/5.0")

    def pass_time(self, **parts: float) -> None:
        self.now += timedelta(**parts)
        self.sessions.now = self.now

    async def register(
        self, email: str, *, password: str = PASSWORD, ip: str = "192.0.2.10", **names: Any
    ) -> None:
        await self.registration.register(email=email, password=password, client=self.client(ip), **names)
        # Mails of one moment would have no order.
        self.pass_time(milliseconds=1)

    async def verified_user(self, email: str = "ada@example.org", **values: Any) -> User:
        await self.register(email, **values)
        return await self.registration.verify_email((await self.links_to(email))[0], self.client())

    async def login(
        self, email: str = "ada@example.org", password: str = PASSWORD, ip: str = "192.0.2.10", **values: Any
    ) -> LoggedIn:
        """A login that needs no second factor."""
        result = await self.begin_login(email, password, ip, **values)
        assert isinstance(result, LoggedIn)
        return result

    async def begin_login(
        self, email: str = "ada@example.org", password: str = PASSWORD, ip: str = "192.0.2.10", **values: Any
    ) -> LoggedIn | MfaPending:
        return await self.login_operation.login(email=email, password=password, client=self.client(ip), **values)

    async def act_as(self, user: User, **changes: Any) -> Principal:
        """Who acts on a session of the user's that was begun just now, and is in the real store."""
        session = session_of(user, self.now, expires_at=self.now + timedelta(days=7), **changes)
        await self.session_store.create(session)
        return Principal(user.user_id, session.session_id, 0, (), session.amr, self.now, self.now, self.now)

    async def mails_to(self, email: str) -> list[dict[str, Any]]:
        """Newest first."""
        return [mail for mail in await self.outbox.newest() if mail["to"] == email]

    async def links_to(self, email: str) -> list[str]:
        """The tokens mailed to `email`, newest first."""
        texts = [mail["text"] for mail in await self.mails_to(email)]
        return [found[1] for text in texts if (found := re.search(r"verify-email\?token=(\S+)", text))]

    async def audited(self, user: User | None) -> list[AuditEvent]:
        return await self.events.of_user(user.user_id if user else None)


def principal_of(user: User) -> Principal:
    return Principal(user.user_id, "s", 0, (), ("pwd",), START, START, START)


@pytest.fixture
async def mongo(services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    """The default driver only: that both do the same is tests/stores' business."""
    connection = Mongo(services.mongo, database_name, "motor")
    yield connection
    await connection.close()


@pytest.fixture
async def world(mongo: Mongo, services: ServiceUrls, redis_prefix: str) -> AsyncIterator[World]:
    made = World(mongo, services.redis, redis_prefix)
    await made.open()
    yield made
    await made.close()


class CuttableRedis:
    """A way to the real Redis that can be cut and mended, silently or with a refusal."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._streams: set[asyncio.StreamWriter] = set()
        self._silent = False

    @property
    def url(self) -> str:
        credentials, at, _ = self._target.netloc.rpartition("@")
        path = self._target.path if self._target.scheme != "unix" else ""
        return f"redis://{credentials}{at}127.0.0.1:{self._port}{path}"

    async def mend(self) -> None:
        self._silent = False
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close the port and every connection, as a Redis that died."""
        if self._server is not None:
            self._server.close()
        for stream in self._streams:
            stream.transport.abort()
        await asyncio.sleep(0.01)

    def hush(self) -> None:
        """Take what is sent and answer nothing, as a network that drops packets."""
        self._silent = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target.scheme == "unix":
            far_reader, far_writer = await asyncio.open_unix_connection(self._target.path)
        else:
            far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._streams |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._streams -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._silent:
                    writer.write(data)
        writer.close()


@pytest.fixture
async def cuttable_redis(services: Any) -> AsyncIterator[CuttableRedis]:
    way = CuttableRedis(services.redis)
    await way.mend()
    yield way
    await way.cut()
