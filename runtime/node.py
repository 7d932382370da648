"""The composition root: settings → stores → operations → app. Creates and connects all parts of a node."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auth.backends.backends import FactParts
from auth.backends.webhook_requests import WebhookRequests, webhook_seal
from auth.backends.webhook_sender import webhook_client
from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.crypto.passwords import Passwords
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import LEEWAY
from auth.crypto.webhook_signatures import WebhookSecret, WebhookSecretWrong
from auth.http.app import HttpParts, create_app
from auth.http.pages.jobs_dashboard import JobsDashboard, dashboard_url
from auth.notifications.job_queue import Jobs
from auth.notifications.sms_webhook import ChannelSender, make_sms_sender
from auth.notifications.smtp import make_sender
from auth.operations import Operations, Parts, make_operations, make_services
from auth.platform.cached_probe import CachedProbe
from auth.platform.http_client import HttpClient
from auth.platform.metrics import Metrics
from auth.platform.node_clock import NodeClock
from auth.platform.open_connections import OpenConnections
from auth.platform.periodic_tasks import PeriodicTask
from auth.platform.rate_limits import RateLimits
from auth.platform.redis.link import RedisLink
from auth.platform.settings.settings import Settings, SettingsError
from auth.platform.suspension import SuspensionWatch
from auth.stores.stores import Stores
from realtime.application import Application
from realtime.application_url.application import UrlApplication
from realtime.application_url.posts import Posts
from realtime.broker.room_log import RoomLogLimits
from realtime.delivery.outbound import Outbound, OutboundOptions
from realtime.engine.traffic_budget import TrafficBudget
from realtime.gateway.gateway import GatewayOptions
from realtime.live import Live, LiveOptions
from realtime.protocol import asyncapi

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from auth.platform.tracing import Tracing

ROOT = Path(__file__).resolve().parents[1]

# Readiness pings the stores; the result is shared for this long.
READINESS_LIFE_SECONDS = 1.0


class Node:
    """One server process with all its parts."""

    def __init__(
        self,
        settings: Settings,
        *,
        mongo_url: str,
        redis_url: str,
        root: RootSecret,
        application: Application | None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self.settings = settings
        self.tracing = tracing
        self.metrics = Metrics()
        self.stores = Stores(settings, mongo_url, tracing=tracing)
        make_link = _make_link(tracing)
        self.link = make_link(redis_url, prefix=settings.stores.redis_prefix)
        self.clock = NodeClock({"MongoDB": self.stores.mongo.time, "Redis": self.link.time})
        token_life = timedelta(seconds=settings.tokens.access_token_seconds) + LEEWAY
        self.keys = KeyRing.under(root, self.stores.signing_keys, token_life=token_life, clock=self.clock)
        self.open_connections = _open_connections(settings, self.metrics)
        self.limits = _rate_limits(settings, redis_url, self.metrics, make_link)
        self.suspension = SuspensionWatch()
        self.web, self.webhook_web = HttpClient(), webhook_client(allow_private=settings.facts.webhooks_private)
        self.jobs = make_jobs(settings, self.stores, redis_url, self.web, self.metrics, self.clock, tracing)
        self._passwords, self._devices = Passwords(), Devices()
        self._url_application = _url_application(settings, self._devices, self.metrics, self.clock)
        application = self._url_application or application
        self._locations = _locations(settings)
        self.services = make_services(
            settings,
            self.stores,
            limits=self.limits,
            jobs=self.jobs,
            locations=self._locations,
            metrics=self.metrics,
            clock=self.clock,
        )
        options = _outbound_options(settings)
        self.outbound = Outbound(self.link, self.stores, self.services, options, root, application)
        self.operations = self._make_operations(root)
        self.jobs_dashboard = JobsDashboard(settings.administration, self.services.audit)
        self._roles = PeriodicTask("roles", self.operations.roles.finish_due, every_seconds=2)
        self._endings = PeriodicTask(
            "session-endings", self.operations.session_endings.finish_due, every_seconds=2
        )
        self._erasures = PeriodicTask("erasures", self.operations.account_deletion.erase_due, every_seconds=60)
        self._stores_answer = CachedProbe(self._ask_stores, life_seconds=READINESS_LIFE_SECONDS)
        self.app = create_app(self.services, self.operations, self._http_parts(root, application))
        self.live = Live(
            self.outbound,
            self.stores,
            self.services,
            self.operations,
            _live_options(settings),
            open_connections=self.open_connections,
            suspension=self.suspension,
            application=application,
            tracing=tracing,
        )
        self.live.attach(self.app)

    def _make_operations(self, root: RootSecret) -> Operations:
        parts = Parts(
            settings=self.settings,
            stores=self.stores,
            root=root,
            keys=self.keys,
            jobs=self.jobs,
            live=self.outbound.live_side,
            web=self.web,
            facts=self._fact_parts(root),
            passwords=self._passwords,
            devices=self._devices,
            locations=self._locations,
        )
        operations = make_operations(self.services, parts)
        if self._url_application is not None:
            self._url_application.act_by(operations.backends)
        return operations

    def _fact_parts(self, root: RootSecret) -> FactParts:
        requests = WebhookRequests(
            webhook_seal(root), self.keys, issuer=self.settings.issuer, clock=self.services.clock
        )
        return FactParts(settings=self.settings.facts, requests=requests, web=self.webhook_web)

    def _http_parts(self, root: RootSecret, application: Application | None) -> HttpParts:
        return HttpParts(
            settings=self.settings,
            open_connections=self.open_connections,
            suspension=self.suspension,
            csrf_keys=[key for key in (root.derive("csrf"), root.derive_second("csrf")) if key],
            jwks=self.keys.jwks,
            readiness=self.readiness,
            asyncapi=partial(asyncapi.build, self.settings.public_url, application),
            jobs_dashboard_url=dashboard_url(self.settings.administration.jobs_dashboard_port),
            inside_observe=_trace_requests(self.tracing) if self.tracing else (),
            outbox=self.stores.outbox,
            demo=ROOT / "client-demo",
        )

    async def start(self) -> None:
        """Prepare the stores and start the background work.

        Raises `Unavailable` without MongoDB, `SettingsError` if a store rejects the credentials,
        `StartRefused` if the clock of this machine is wrong, or `KeySecretChanged`.
        """
        await self.stores.prepare()
        await self._check_redis()
        await self.clock.start()
        await self.keys.start()
        await self.live.start()
        self.suspension.start()
        await self._begin_jobs(work=self.settings.accounts.jobs)
        self._endings.start()
        self._roles.start()
        if self.settings.administration.jobs_dashboard_port:
            await self.jobs_dashboard.open(self.jobs.open_another_queue())

    async def _check_redis(self) -> None:
        """Raise `SettingsError` if Redis is not what the URL says, or rejects the credentials.

        A Redis that is down is not an error.
        """
        problem = await self.link.problem()
        if problem is not None:
            raise SettingsError(f"VIGIL_REDIS_URL is wrong: {problem}")

    async def start_jobs(self) -> None:
        """Run only the background jobs, without sockets. Raises as `start`."""
        await self.stores.prepare()
        await self.clock.start()
        # Security Event Tokens are signed here.
        await self.keys.start()
        self.outbound.start_publishing()
        await self._begin_jobs(work=True)

    async def _begin_jobs(self, *, work: bool) -> None:
        """Start the job queue. Several processes may run jobs: a claim in MongoDB gives each job to one."""
        await self.jobs.start(work=work)
        if work:
            self._erasures.start()
            self.operations.backends.fact_relay.start()

    async def close(self) -> None:
        """Stop the background work and close every connection."""
        await self._erasures.close()
        await self.operations.backends.fact_relay.close()
        await self._endings.close()
        await self._roles.close()
        await self.operations.backends.revocations.close()
        await self.live.close()
        if self._url_application is not None:
            await self._url_application.close()
        self.suspension.close()
        await self.clock.close()
        await self.jobs_dashboard.close()
        await self.jobs.stop()
        await self.keys.close()
        await self.web.close()
        await self.webhook_web.close()
        await self.limits.close()
        await self.link.close()
        await self.stores.mongo.close()
        self._passwords.close()
        self._locations.close()
        if self.tracing is not None:
            await self.tracing.close()

    async def readiness(self) -> Mapping[str, bool]:
        """Return the result of each readiness check for HTTP and handshakes.

        Results of the stores are at most a second old; the node's own state is current.
        """
        return {**await self._stores_answer.answer(), "clock": self.clock.is_right, **self.live.admits()}

    async def _ask_stores(self) -> Mapping[str, bool]:
        mongo, redis, _ = await asyncio.gather(
            _answers(self.stores.mongo.ping), _answers(self.outbound.deny_list.check), self.jobs.measure()
        )
        return {"mongo": mongo, "redis": redis}


async def _answers(ping: Callable[[], Awaitable[None]]) -> bool:
    try:
        await ping()
    except Unavailable:
        return False
    return True


def make_jobs(
    settings: Settings,
    stores: Stores,
    redis_url: str,
    web: HttpClient,
    metrics: Metrics,
    clock: Clock,
    tracing: "Tracing | None",
) -> Jobs:
    """Create the job queue with the mail and SMS senders of the settings."""
    smtp = settings.accounts.smtp_url
    email = make_sender(
        smtp_url=smtp.get_secret_value() if smtp and not settings.dev_outbox else None,
        outbox=settings.dev_outbox,
        public_url=settings.public_url,
        mail_from=settings.mail_from,
        clock=clock,
    )
    secret = settings.phone.sms_webhook_secret
    sms = make_sms_sender(
        url=settings.phone.sms_webhook_url,
        secret=secret.get_secret_value().encode() if secret else None,
        outbox=settings.dev_outbox,
        web=web,
        clock=clock,
    )
    return Jobs(
        redis_url=redis_url,
        namespace=settings.stores.redis_prefix,
        outbox=stores.outbox,
        sender=ChannelSender(email=email, sms=sms),
        metrics=metrics,
        clock=clock,
        tracing=tracing,
    )


def _rate_limits(
    settings: Settings, redis_url: str, metrics: Metrics, make_link: Callable[..., RedisLink]
) -> RateLimits:
    return RateLimits(
        settings=settings.limits,
        redis_url=redis_url,
        namespace=settings.stores.redis_prefix,
        metrics=metrics,
        make_link=make_link,
    )


def _locations(settings: Settings) -> Locations:
    accounts = settings.accounts
    return Locations(country_database=accounts.country_database, city_database=accounts.city_database)


def _open_connections(settings: Settings, metrics: Metrics) -> OpenConnections:
    server = settings.server
    return OpenConnections(server.connections_per_address, proxies=server.trusted_proxies, metrics=metrics)


def _url_application(
    settings: Settings, devices: Devices, metrics: Metrics, clock: Clock
) -> UrlApplication | None:
    """The application behind VIGIL_APPLICATION_URL, if set. Raises `SettingsError` for a wrong secret."""
    given = settings.application_url
    if given.application_url is None or given.application_url_secret is None:
        return None
    try:
        held = [WebhookSecret.parse(each) for each in given.secrets]
    except WebhookSecretWrong as error:
        raise SettingsError(f"VIGIL_APPLICATION_URL_SECRET is wrong: {error}") from None
    only_public = not given.application_url_private
    posts = Posts(given.application_url, held, only_public=only_public, metrics=metrics, clock=clock)
    return UrlApplication(posts, devices, given)


def _outbound_options(settings: Settings) -> OutboundOptions:
    tokens = settings.tokens
    return OutboundOptions(
        node_id=f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}".replace("|", "-"),
        log_life=timedelta(seconds=tokens.refresh_token_seconds),
        # A minute longer than a token's life, for a token signed while its session was being revoked.
        deny_life=timedelta(seconds=tokens.access_token_seconds + 60) + LEEWAY,
        sockets_per_user=settings.live.sockets_per_user,
        room_log=RoomLogLimits(
            events=settings.live.room_history_events,
            life=timedelta(seconds=settings.live.room_history_seconds),
        ),
    )


def _live_options(settings: Settings) -> LiveOptions:
    live = settings.live
    return LiveOptions(
        GatewayOptions(
            trusted_proxies=settings.server.trusted_proxies,
            allowed_origins=settings.allowed_origins,
            lead=timedelta(seconds=live.expiry_lead_seconds),
            grace=timedelta(seconds=live.expiry_grace_seconds),
        ),
        transports=("websocket",) if settings.server.worker else ("polling", "websocket"),
        allowance=TrafficBudget(
            live.socket_frames_per_second, live.socket_bytes_per_second, live.socket_burst_seconds
        ),
    )


# OpenTelemetry is imported only if traces are wanted.


def _make_link(tracing: "Tracing | None") -> Callable[..., RedisLink]:
    if tracing is None:
        return RedisLink
    from auth.platform.redis.traced import TracedRedisLink

    return partial(TracedRedisLink, tracing)


def _trace_requests(tracing: "Tracing") -> "Sequence[Middleware]":
    from auth.http.edge.traced import trace_requests

    return (trace_requests(tracing),)
