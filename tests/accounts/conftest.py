"""Account operations on real stores, with test doubles for sessions and time.

`world` has all operations; `world.client(ip)` is a client, `world.now` the current time of all of them.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from support.nodes import ServiceUrls
from support.session_world import stand_in_services

from auth.accounts.password_reset import PasswordReset
from auth.accounts.profile import Profile
from auth.accounts.registration import Registration
from auth.audit import AuditLog
from auth.clients.known_devices import KnownDevices
from auth.clients.locations import Locations
from auth.core.clock import utc_now
from auth.core.errors import AuthError
from auth.core.models import (
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
from auth.crypto.passwords import Passwords
from auth.crypto.sealing import Seal
from auth.factors.manage import TwoFactor
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.recovery_codes import RecoveryCodeFactor
from auth.factors.registry import SecondFactor, SecondFactors
from auth.factors.step_up import StepUp
from auth.factors.totp import TotpFactor
from auth.login.admission import Admission, LoggedIn, MfaPending
from auth.login.password import Login
from auth.notifications.job_queue import Jobs
from auth.notifications.mail_templates import MailTemplates
from auth.notifications.mailer import Mailer
from auth.notifications.smtp import OutboxSender
from auth.notifications.undo_links import UndoLinks
from auth.platform.metrics import Metrics
from auth.platform.rate_limits import RateLimits
from auth.platform.settings.settings import LimitSettings
from auth.services import Services
from auth.sessions.endings import SessionEndings
from auth.sessions.types import Revoked
from auth.stores.audit_events import AuditEvent, AuditEvents
from auth.stores.challenges import Challenges
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.outbox import OutboxStore
from auth.stores.passkeys import Passkeys
from auth.stores.sessions.store import SessionStore
from auth.stores.users.pending_revocations import PendingRevocationStore
from auth.stores.users.store import Users

# A day ahead: MongoDB's TTL index uses the real clock and would otherwise delete short-lived documents in a long
# run.
START = utc_now() + timedelta(days=1)
PASSWORD = "correct horse battery staple"
# Argon2's minimum cost: these tests do not depend on its strength.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True)
class Started:
    session: Session
    tokens: IssuedTokens


@dataclass
class RecordingSessions:
    """Replaces `Sessions`: starts sessions in memory, or refuses them, and records those that are ended."""

    now: datetime
    refusal: AuthError | None = None
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
        approved_by: str | None = None,
    ) -> Started:
        if self.refusal is not None:
            raise self.refusal
        self.started.append((user, {"amr": tuple(amr), "device_name": device_name, "delivery": delivery}))
        return Started(session_of(user, self.now), IssuedTokens("a", self.now, "r", self.now))

    async def end_matching(
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
    """Real Argon2 with cheap parameters, and counters of calls."""

    def __init__(self, hasher: PasswordHasher = QUICK) -> None:
        self.hashed = 0
        self.verified = 0
        super().__init__(workers=2, hasher=hasher)

    async def hash(self, password: str, **values: Any) -> str:
        self.hashed += 1
        return await super().hash(password, **values)

    async def verify(self, **values: Any) -> Any:
        self.verified += 1
        return await super().verify(**values)


class World:
    """All account operations, created as in the composition root."""

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
        self.outbox = OutboxStore(database, keep_content=True)
        self.metrics = Metrics()
        self.passwords = CountingPasswords()
        self.sessions = cast("Any", RecordingSessions(START))
        self.endings = SessionEndings(
            stand_in_services(clock=lambda: self.now),
            store=PendingRevocationStore(database),
            sessions=self.sessions,
        )
        self.locations = Locations()
        self.audit = AuditLog(
            store=self.events, keep=timedelta(days=90), metrics=self.metrics, clock=lambda: self.now
        )
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
            undo=UndoLinks(self.tokens),
            metrics=self.metrics,
        )
        self.seal = Seal(secrets.token_bytes(32))
        self.known_devices = KnownDevices(secrets.token_bytes(32), lambda: self.now)
        self.factors: list[SecondFactor] = []
        self._all_limits: list[RateLimits] = []
        self.use_limits()

    def use_limits(self, *, require_verified_email: bool = True, **limits: Any) -> None:
        """Recreate the operations with these limits."""
        self.limits = RateLimits(
            settings=LimitSettings(**limits),
            redis_url=self.redis_url,
            namespace=self.namespace,
            metrics=self.metrics,
        )
        self._all_limits.append(self.limits)
        self.services = Services(
            users=self.users,
            audit=self.audit,
            limits=self.limits,
            mailer=self.mailer,
            metrics=self.metrics,
            clock=lambda: self.now,
        )
        self.totp = TotpFactor(self.services, store=self.factor_secrets, seal=self.seal)
        self.recovery_codes = RecoveryCodeFactor(self.services, store=self.factor_secrets, beside=[self.totp])
        self.second_factors = SecondFactors([self.totp, self.recovery_codes, *self.factors])
        self.admission = Admission(
            self.services,
            sessions=self.sessions,
            second_factors=self.second_factors,
            challenges=self.challenges,
            require_verified_email=require_verified_email,
        )
        self.guesses = PasswordGuesses(
            self.services,
            devices=self.known_devices,
            tokens=self.tokens,
        )
        self.login_operation = Login(
            self.services,
            passwords=self.passwords,
            guesses=self.guesses,
            admission=self.admission,
        )
        self.registration = Registration(
            self.services,
            tokens=self.tokens,
            passwords=self.passwords,
            endings=self.endings,
            require_verified_email=require_verified_email,
        )
        self.profile = Profile(users=self.users, clock=lambda: self.now)
        self.step_up = StepUp(
            self.services,
            sessions=self.session_store,
            second_factors=self.second_factors,
            passwords=self.passwords,
            guesses=self.guesses,
        )
        self.two_factor = TwoFactor(
            self.services,
            store=self.factor_secrets,
            seal=self.seal,
            totp_factor=self.totp,
            code_factor=self.recovery_codes,
            second_factors=self.second_factors,
            passkeys=Passkeys(self.mongo.database),
            step_up=self.step_up,
            endings=self.endings,
            assurances=self.session_store,
            service="Vigil",
        )

    def password_reset(self) -> PasswordReset:
        """Create the operation with the current limits."""
        return PasswordReset(
            self.services,
            tokens=self.tokens,
            passwords=self.passwords,
            endings=self.endings,
        )

    async def open(self) -> None:
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
        # Mails with equal times would have no defined order.
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
        """Store a new session of the user and return its principal."""
        session = session_of(user, self.now, expires_at=self.now + timedelta(days=7), **changes)
        await self.session_store.create(session)
        return Principal(user.user_id, session.session_id, 0, (), session.amr, self.now, self.now, self.now)

    async def mails_to(self, email: str) -> list[dict[str, Any]]:
        """Return mails or SMS, newest first, with the service's name removed from subjects."""
        mails = [mail for mail in await self.outbox.newest() if mail["to"] == email]
        assert all(mail["subject"].startswith("Vigil: ") for mail in mails if mail["channel"] == "email")
        return [{**mail, "subject": mail["subject"].removeprefix("Vigil: ")} for mail in mails]

    async def links_to(self, email: str) -> list[str]:
        """Return the verification tokens mailed to `email`, newest first."""
        texts = [mail["text"] for mail in await self.mails_to(email)]
        return [found[1] for text in texts if (found := re.search(r"verify-email\?token=(\S+)", text))]

    async def audited(self, user: User | None) -> list[AuditEvent]:
        return await self.events.of_user(user.user_id if user else None)


def principal_of(user: User) -> Principal:
    return Principal(user.user_id, "s", 0, (), ("pwd",), START, START, START)


@pytest.fixture
async def world(mongo: Mongo, services: ServiceUrls, redis_prefix: str) -> AsyncIterator[World]:
    made = World(mongo, services.redis, redis_prefix)
    await made.open()
    yield made
    await made.close()


class CuttableRedis:
    """A proxy to the real Redis that can be disconnected, or drop all traffic, and be restored."""

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
        """Close the port and all connections, as if Redis had died."""
        if self._server is not None:
            self._server.close()
        for stream in self._streams:
            stream.transport.abort()
        await asyncio.sleep(0.01)

    def hush(self) -> None:
        """Drop all traffic in both directions, as a network that loses packets."""
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
    proxy = CuttableRedis(services.redis)
    await proxy.mend()
    yield proxy
    await proxy.cut()
