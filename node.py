"""The composition root: settings → stores → operations → app. Every part of a node is made and joined here."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

from auth.clock import utc_now
from auth.errors import Unavailable
from auth.http.app import HttpDependencies, create_app
from auth.http.doorman import Doorman
from auth.http.jobs_dashboard import JobsDashboard, dashboard_url
from auth.http.outgoing import OutgoingHttp
from auth.jobs import Jobs
from auth.keys import KeyRing
from auth.mail.senders import make_sender
from auth.mail.webhook import ByChannel, make_sms_sender
from auth.metrics import Metrics
from auth.rate_limits import RateLimits
from auth.secrets import RootSecret
from auth.settings import Settings
from auth.sweeps import Sweep
from auth.tokens import LEEWAY
from operations import Operations
from realtime import asyncapi
from realtime.application import Application
from realtime.live import Live, LiveOptions
from realtime.redis_link import RedisLink
from stores import Stores

HERE = Path(__file__).resolve().parent


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
            self.link,
            self.stores.sessions,
            self.stores.session_roles,
            _live_options(settings),
            metrics=self.metrics,
            clock=utc_now,
        )
        self.limits = RateLimits(
            settings=settings.limits,
            redis_url=redis_url,
            namespace=settings.stores.redis_prefix,
            metrics=self.metrics,
        )
        self.web = OutgoingHttp()
        self.jobs = make_jobs(settings, self.stores, redis_url, self.web, self.metrics)
        self.jobs_dashboard = JobsDashboard(settings.administration.jobs_dashboard_port)
        self.operations = Operations(
            settings,
            self.stores,
            root=root,
            keys=self.keys,
            limits=self.limits,
            jobs=self.jobs,
            live=self.live,
            web=self.web,
            metrics=self.metrics,
        )
        self._roles = Sweep("roles", self.operations.roles.finish_due, every_seconds=2)
        self._endings = Sweep("session-endings", self.operations.session_endings.finish_due, every_seconds=2)
        self._erasures = Sweep("erasures", self.operations.account_deletion.erase_due, every_seconds=60)
        self.app = create_app(self._http_dependencies(root))
        self.live.serve(
            self.app,
            sessions=self.operations.sessions,
            admission=self.operations.admission,
            step_up=self.operations.step_up,
            passkeys=self.operations.passkey_login,
            profile=self.operations.profile,
            approvals=self.operations.approvals,
            not_me=self.operations.not_me,
            doorman=Doorman(settings.server.trusted_proxies),
            limits=self.limits,
            application=application,
        )

    def _http_dependencies(self, root: RootSecret) -> HttpDependencies:
        operations = self.operations
        return HttpDependencies(
            settings=self.settings,
            metrics=self.metrics,
            clock=utc_now,
            registration=operations.registration,
            login=operations.login,
            passkey_login=operations.passkey_login,
            own_passkeys=operations.own_passkeys,
            own_data=operations.own_data,
            account_deletion=operations.account_deletion,
            password_change=operations.password_change,
            password_reset=operations.password_reset,
            email_change=operations.email_change,
            admission=operations.admission,
            step_up=operations.step_up,
            two_factor=operations.two_factor,
            provider_flows=operations.provider_flows,
            provider_login=operations.provider_login,
            linked_identities=operations.linked_identities,
            phone_login=operations.phones.login,
            own_phone=operations.phones.own,
            profile=operations.profile,
            sessions=operations.sessions,
            approvals=operations.approvals,
            not_me=operations.not_me,
            roles=operations.roles,
            account_locks=operations.account_locks,
            administration=operations.administration,
            jobs_dashboard_url=dashboard_url(self.settings.administration.jobs_dashboard_port),
            limits=self.limits,
            csrf_key=root.derive("csrf"),
            jwks=self.keys.jwks,
            readiness=self.readiness,
            asyncapi=asyncapi.build(self.settings.public_url),
            outbox=self.stores.outbox,
            demo=HERE / "client-demo",
        )

    async def start(self) -> None:
        """Prepare the stores and begin the background work. Raises `Unavailable` without MongoDB."""
        await self.stores.ensure_indexes()
        await self.keys.start()
        await self.live.start()
        await self._begin_jobs(work=self.settings.accounts.jobs)
        self._endings.start()
        self._roles.start()
        if self.settings.administration.jobs_dashboard_port:
            await self.jobs_dashboard.open(self.jobs.queue_of_its_own())

    async def start_jobs(self) -> None:
        """Run only the background jobs: this process has no sockets and is no node. Raises `Unavailable`."""
        await self.stores.ensure_indexes()
        self.live.only_speak()
        await self._begin_jobs(work=True)

    async def _begin_jobs(self, *, work: bool) -> None:
        """Whichever processes run them, a claim in MongoDB gives each piece of work to one."""
        await self.jobs.start(work=work)
        if work:
            self._erasures.start()

    async def close(self) -> None:
        """Stop the background work and close every connection."""
        await self._erasures.close()
        await self._endings.close()
        await self._roles.close()
        await self.live.close()
        await self.jobs_dashboard.close()
        await self.jobs.stop()
        await self.keys.close()
        await self.web.close()
        await self.limits.close()
        await self.link.close()
        await self.stores.mongo.close()
        self.operations.close()

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


def make_jobs(settings: Settings, stores: Stores, redis_url: str, web: OutgoingHttp, metrics: Metrics) -> Jobs:
    """The job queue with the senders of mail and SMS that the settings name."""
    smtp = settings.accounts.smtp_url
    email = make_sender(
        smtp_url=smtp.get_secret_value() if smtp and not settings.dev_outbox else None,
        outbox=settings.dev_outbox,
        mail_from=settings.accounts.mail_from,
        clock=utc_now,
    )
    secret = settings.phone.sms_webhook_secret
    sms = make_sms_sender(
        url=settings.phone.sms_webhook_url,
        secret=secret.get_secret_value().encode() if secret else None,
        outbox=settings.dev_outbox,
        web=web,
        clock=utc_now,
    )
    return Jobs(
        redis_url=redis_url,
        namespace=settings.stores.redis_prefix,
        outbox=stores.outbox,
        sender=ByChannel(email=email, sms=sms),
        metrics=metrics,
        clock=utc_now,
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
