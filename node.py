"""The composition root: settings → stores → operations → app. Every part of a node is made and joined here."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

from auth.audit import AuditLog
from auth.clock import utc_now
from auth.devices import Devices
from auth.errors import Unavailable
from auth.http.app import HttpDependencies, create_app
from auth.http.doorman import Doorman
from auth.jobs import Jobs
from auth.keys import KeyRing
from auth.locations import Locations
from auth.login import Login
from auth.mail.mailer import Mailer
from auth.mail.senders import make_sender
from auth.mail.templates import MailTemplates
from auth.metrics import Metrics
from auth.passwords import Passwords
from auth.profile import Profile
from auth.rate_limits import RateLimits
from auth.registration import Registration
from auth.rotation import RotationPolicy
from auth.secrets import RootSecret
from auth.sessions import SessionRules, Sessions
from auth.settings import Settings
from auth.stores.audit_events import AuditEvents
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.outbox import Outbox
from auth.stores.sessions import Sessions as SessionStore
from auth.stores.signing_keys import SigningKeys
from auth.stores.users import Users
from auth.tokens import LEEWAY, AccessTokens, RefreshTokens
from realtime import asyncapi
from realtime.application import Application
from realtime.live import Live, LiveOptions
from realtime.redis_link import RedisLink

HERE = Path(__file__).resolve().parent


class Stores:
    """MongoDB and its collections."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.mongo = Mongo(url, settings.stores.mongo_database, settings.stores.mongo_driver)
        database = self.mongo.database
        self.users = Users(database)
        self.one_time_tokens = OneTimeTokens(database)
        self.audit_events = AuditEvents(database)
        self.outbox = Outbox(database, keep_content=settings.dev_outbox)
        self.sessions = SessionStore(database, revoked_kept=timedelta(days=settings.tokens.audit_days))
        self.signing_keys = SigningKeys(database)

    async def ensure_indexes(self) -> None:
        """Create what indexes are missing. Raises `Unavailable`."""
        collections = (
            self.users, self.one_time_tokens, self.audit_events, self.outbox, self.sessions, self.signing_keys
        )  # fmt: skip
        await asyncio.gather(*(collection.ensure_indexes() for collection in collections))


class Node:
    """One process of the server, every part of it made and joined here."""

    def __init__(
        self, settings: Settings, *, mongo_url: str, redis_url: str, secret: bytes, application: Application | None
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.stores = Stores(settings, mongo_url)
        root = RootSecret(secret)
        tokens = settings.tokens
        token_life = timedelta(seconds=tokens.access_token_seconds) + LEEWAY
        self.keys = KeyRing(
            self.stores.signing_keys, root.derive("signing keys"), token_life=token_life, clock=utc_now
        )
        self.link = RedisLink(redis_url, prefix=settings.stores.redis_prefix)
        self.live = Live(
            self.link, self.stores.sessions, _live_options(settings), metrics=self.metrics, clock=utc_now
        )
        self.limits = RateLimits(
            settings=settings.limits,
            redis_url=redis_url,
            namespace=settings.stores.redis_prefix,
            metrics=self.metrics,
        )
        self.passwords = Passwords()
        self.jobs = make_jobs(settings, self.stores, redis_url, self.metrics)
        accounts = settings.accounts
        self.locations = Locations(
            country_database=accounts.country_database, city_database=accounts.city_database
        )
        audit = AuditLog(
            store=self.stores.audit_events, keep=timedelta(days=tokens.audit_days), metrics=self.metrics
        )
        mailer = Mailer(
            templates=MailTemplates(public_url=settings.public_url, locations=self.locations),
            jobs=self.jobs,
            users=self.stores.users,
        )
        sessions = Sessions(
            store=self.stores.sessions,
            access_tokens=AccessTokens(
                self.keys,
                issuer=settings.issuer,
                audience=tokens.audience,
                lifetime=timedelta(seconds=tokens.access_token_seconds),
            ),
            refresh_tokens=RefreshTokens(root.derive("refresh tokens")),
            revocations=self.live.revocations,
            publisher=self.live.publisher,
            presence=self.live.presence,
            audit=audit,
            devices=Devices(),
            locations=self.locations,
            theft_notice=mailer,
            rules=_session_rules(settings),
            metrics=self.metrics,
            clock=utc_now,
        )
        registration = Registration(
            users=self.stores.users,
            tokens=self.stores.one_time_tokens,
            passwords=self.passwords,
            mailer=mailer,
            sessions=sessions,
            limits=self.limits,
            audit=audit,
            clock=utc_now,
            require_verified_email=accounts.require_verified_email,
        )
        login = Login(
            users=self.stores.users,
            passwords=self.passwords,
            sessions=sessions,
            limits=self.limits,
            audit=audit,
            metrics=self.metrics,
            clock=utc_now,
            require_verified_email=accounts.require_verified_email,
        )
        profile = Profile(users=self.stores.users)
        self.app = create_app(
            HttpDependencies(
                settings=settings,
                metrics=self.metrics,
                clock=utc_now,
                registration=registration,
                login=login,
                profile=profile,
                sessions=sessions,
                limits=self.limits,
                csrf_key=root.derive("csrf"),
                jwks=self.keys.jwks,
                readiness=self.readiness,
                asyncapi=asyncapi.build(settings.public_url),
                outbox=self.stores.outbox,
                demo=HERE / "client-demo",
            )
        )
        self.live.serve(
            self.app,
            sessions=sessions,
            profile=profile,
            doorman=Doorman(settings.server.trusted_proxies),
            limits=self.limits,
            application=application,
        )

    async def start(self) -> None:
        """Prepare the stores and begin the background work. Raises `Unavailable` without MongoDB."""
        await self.stores.ensure_indexes()
        await self.keys.start()
        await self.live.start()
        await self.jobs.start(work=self.settings.accounts.jobs)

    async def close(self) -> None:
        """Stop the background work and close every connection."""
        await self.live.close()
        await self.jobs.stop()
        await self.keys.close()
        await self.limits.close()
        await self.link.close()
        await self.stores.mongo.close()
        self.passwords.close()
        self.locations.close()

    async def readiness(self) -> Mapping[str, bool]:
        """What this node needs to serve, and whether it has it."""
        mongo, redis, _ = await asyncio.gather(
            _answers(self.stores.mongo.ping), _answers(self.link.ping), self.jobs.measure()
        )
        return {"mongo": mongo, "redis": redis, "bus": self.live.hears}


async def _answers(ping: Callable[[], Awaitable[None]]) -> bool:
    try:
        await ping()
    except Unavailable:
        return False
    return True


def make_jobs(settings: Settings, stores: Stores, redis_url: str, metrics: Metrics) -> Jobs:
    """The job queue with the sender of mail that the settings name."""
    smtp = settings.accounts.smtp_url
    sender = make_sender(
        smtp_url=smtp.get_secret_value() if smtp and not settings.dev_outbox else None,
        outbox=settings.dev_outbox,
        mail_from=settings.accounts.mail_from,
        clock=utc_now,
    )
    return Jobs(
        redis_url=redis_url,
        namespace=settings.stores.redis_prefix,
        outbox=stores.outbox,
        sender=sender,
        metrics=metrics,
        clock=utc_now,
    )


def _session_rules(settings: Settings) -> SessionRules:
    tokens = settings.tokens
    return SessionRules(
        idle_life=timedelta(seconds=tokens.refresh_token_seconds),
        whole_life=timedelta(seconds=tokens.session_max_seconds),
        rotation=RotationPolicy(leeway=timedelta(seconds=tokens.reuse_leeway_seconds)),
        theft_ends_all=tokens.reuse_policy == "all",
    )


def _live_options(settings: Settings) -> LiveOptions:
    tokens, live = settings.tokens, settings.live
    return LiveOptions(
        node_id=f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}".replace("|", "-"),
        lead=timedelta(seconds=live.expiry_lead_seconds),
        grace=timedelta(seconds=live.expiry_grace_seconds),
        log_life=timedelta(seconds=tokens.refresh_token_seconds),
        # A minute more than a token's life, for one that was signed while its session was being revoked.
        deny_life=timedelta(seconds=tokens.access_token_seconds + 60) + LEEWAY,
        allowed_origins=settings.allowed_origins,
        transports=("websocket",) if settings.server.worker else ("polling", "websocket"),
    )
