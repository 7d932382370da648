"""Builds the aiohttp application: routes, pages and middlewares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from auth.http.edge.event_stream import EventStreams
from auth.http.edge.loopback_only import local_only
from auth.http.edge.middleware import count_in_flight, limit, observe, refuse, secure
from auth.http.identity import CookiePolicy, HttpIdentity
from auth.http.json import MAX_BODY_BYTES
from auth.http.pages import openapi
from auth.http.pages.api_documents import asyncapi_documents, openapi_documents
from auth.http.pages.bundle import FOLDER, INDEX, current_bundle
from auth.http.pages.mailed_links import UndoPage, VerificationPage
from auth.http.pages.pages import ASSETS, Outbox, OutboxPages, Pages
from auth.http.pages.plain_links import PlainLinks
from auth.http.pages.provider_visits import ProviderPages
from auth.http.pages.static import StaticFiles
from auth.http.routes.accounts import AccountRoutes
from auth.http.routes.admin import AdminRoutes
from auth.http.routes.alerts import AlertRoutes
from auth.http.routes.approvals import ApprovalRoutes
from auth.http.routes.config import ConfigRoutes
from auth.http.routes.export_and_deletion import ExportAndDeletionRoutes
from auth.http.routes.factors import TwoFactorRoutes
from auth.http.routes.jwks import JWKS_PATH, jwks_handler
from auth.http.routes.passkeys import PasskeyRoutes
from auth.http.routes.passwords_and_email import CredentialRoutes
from auth.http.routes.phones import PhoneRoutes
from auth.http.routes.providers import ProviderRoutes
from auth.http.routes.second_step import SecondFactorRoutes
from auth.http.routes.server_api import BackendSessionRoutes, BackendUserRoutes
from auth.http.routes.server_events import BackendEventRoutes
from auth.http.routes.server_keys import ServerKeyRoutes
from auth.http.routes.server_messages import BackendMessageRoutes
from auth.http.routes.server_revocations import BackendRevocationRoutes
from auth.http.routes.server_rooms import BackendRoomRoutes
from auth.http.routes.service import Readiness, ServiceRoutes
from auth.http.routes.sessions import SessionRoutes
from auth.http.routes.tokens import TokenRoutes
from auth.http.routes.webhooks import WebhookRoutes
from auth.http.routing import API, Endpoint, Routes, endpoints_of, handler_of, server_handler_of
from auth.http.second_origin import SecondOrigin
from auth.operations import Operations
from auth.platform.open_connections import OpenConnections
from auth.platform.settings.settings import Settings
from auth.platform.suspension import SuspensionWatch
from auth.services import Services

ENDPOINTS = web.AppKey("endpoints", Sequence[Endpoint])

# High-entropy client hints, used to label devices. Browsers send them only after an Accept-CH header.
WANTED_HINTS = "Sec-CH-UA-Model, Sec-CH-UA-Platform-Version"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpParts:
    """Dependencies of the HTTP application other than services and operations.

    `csrf_keys`: bind CSRF tokens to sessions; the first signs. `asyncapi`: builds the live socket's AsyncAPI
    document. `inside_observe`: further middlewares, next to the outermost. `outbox`: served only if the settings
    enable it. `demo`: folder of the demo page.
    """

    settings: Settings
    open_connections: OpenConnections
    suspension: SuspensionWatch
    csrf_keys: Sequence[bytes]
    jwks: Callable[[], Mapping[str, Any]]
    readiness: Readiness
    asyncapi: Callable[[], Mapping[str, Any]]
    jobs_dashboard_url: str | None = None
    inside_observe: Sequence[Middleware] = ()
    outbox: Outbox | None = None
    demo: Path | None = None


def create_app(services: Services, operations: Operations, parts: HttpParts) -> web.Application:
    """Build the application. The caller attaches the live socket under `/socket.io/` afterwards."""
    settings = parts.settings
    origins = settings.allowed_origins
    second_origin = SecondOrigin(settings.second_origin)
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[
            observe(services.metrics, settings.server.trusted_proxies, parts.suspension),
            *parts.inside_observe,
            secure(public_url=settings.public_url, allowed_origins=origins, app_url=settings.server.app_url),
            refuse(allowed_origins=origins, cross_site_cookies=settings.server.cookie_same_site == "none"),
            count_in_flight(parts.open_connections),
            limit(services.limits, API),
            *second_origin.middlewares(),
        ],
    )
    pages = Pages(service=settings.accounts.service_name)
    app[ENDPOINTS] = _add_api(app, services, operations, parts, second_origin)
    _add_service(app, services, parts, pages)
    _add_pages(app, operations, parts, pages)
    return app


def _add_api(
    app: web.Application,
    services: Services,
    operations: Operations,
    parts: HttpParts,
    second_origin: SecondOrigin,
) -> Sequence[Endpoint]:
    policy = CookiePolicy(parts.csrf_keys, parts.settings.allowed_origins)
    identity = HttpIdentity(
        operations.sessions, operations.known_devices, services.limits, policy, parts.suspension, services.clock
    )
    phone_login = parts.settings.phone_login
    streams = EventStreams()
    # Before the server waits for its responses to end.
    app.on_shutdown.append(streams.close)
    groups: Sequence[Routes] = (
        AccountRoutes(operations.registration, operations.profile),
        ExportAndDeletionRoutes(operations.data_export, operations.account_deletion),
        CredentialRoutes(operations.password_change, operations.password_reset, operations.email_change),
        TokenRoutes(operations.login, operations.sessions, identity),
        SecondFactorRoutes(operations.admission, operations.step_up, identity),
        TwoFactorRoutes(operations.two_factor),
        PasskeyRoutes(operations.passkey_login, operations.own_passkeys, operations.admission, identity),
        ProviderRoutes(
            operations.provider_flows, operations.linked_identities, second_origin, phone_login=phone_login
        ),
        PhoneRoutes(operations.phone_login, operations.own_phone, identity, enabled=phone_login),
        SessionRoutes(operations.sessions, operations.device_rename),
        ApprovalRoutes(operations.approvals),
        AlertRoutes(operations.not_me, operations.dismissals, operations.factor_removal),
        AdminRoutes(
            operations.administration,
            operations.roles,
            operations.account_locks,
            operations.factor_removal,
            parts.jobs_dashboard_url,
        ),
        ServerKeyRoutes(operations.backends.keys),
        BackendSessionRoutes(operations.backends.sessions, parts.settings),
        BackendUserRoutes(operations.backends.users),
        BackendMessageRoutes(operations.backends.messages, operations.backends.sessions, operations.backends.keys),
        BackendRoomRoutes(operations.backends.rooms),
        BackendEventRoutes(operations.backends.facts, operations.backends.keys, streams),
        WebhookRoutes(operations.backends.webhooks),
        BackendRevocationRoutes(operations.backends.revocations, operations.backends.keys, streams),
        ConfigRoutes(operations.provider_flows, phone_login=phone_login),
    )
    rows = []
    for group in groups:
        for row, route in endpoints_of(group):
            if row.scopes:
                handler = server_handler_of(row, route, operations.backends.keys)
            else:
                handler = handler_of(row, route, identity, operations.roles)
            for path in row.paths:
                app.router.add_route(row.method, path, handler)
            rows.append(row)
    _add_provider_pages(app, services, operations, parts.settings, identity, second_origin)
    return rows


def _add_provider_pages(
    app: web.Application,
    services: Services,
    operations: Operations,
    settings: Settings,
    identity: HttpIdentity,
    second_origin: SecondOrigin,
) -> None:
    visits = ProviderPages(
        flows=operations.provider_flows,
        login=operations.provider_login,
        identities=operations.linked_identities,
        identity=identity,
        limits=services.limits,
        second_origin=second_origin,
        links=settings.page_links,
    )
    app.router.add_get(f"{API}/oauth/{{provider}}/start", visits.start, allow_head=False)
    app.router.add_get(f"{API}/oauth/{{provider}}/callback", visits.callback, allow_head=False)


def _add_service(app: web.Application, services: Services, parts: HttpParts, pages: Pages) -> None:
    service = ServiceRoutes(
        readiness=parts.readiness,
        metrics=services.metrics,
    )
    app.router.add_get("/health/live", service.live)
    app.router.add_get("/health/ready", service.ready)
    app.router.add_get("/metrics", service.metrics)
    app.router.add_get(JWKS_PATH, jwks_handler(parts.jwks))
    http = openapi_documents(partial(openapi.build, app[ENDPOINTS]), pages)
    live = asyncapi_documents(parts.asyncapi, pages)
    app.router.add_get("/openapi.json", http.as_json)
    app.router.add_get("/asyncapi.json", live.as_json)
    app.router.add_get("/docs/api", http.as_page)
    app.router.add_get("/docs/events", live.as_page)
    app.router.add_get("/docs/assets/{path:.+}", StaticFiles(ASSETS).serve)


def _add_pages(app: web.Application, operations: Operations, parts: HttpParts, pages: Pages) -> None:
    settings = parts.settings
    demo = parts.demo if settings.server.demo else None
    has_page = demo is not None or settings.server.app_url is not None
    link = VerificationPage(operations.registration, pages, settings.page_links, has_page=has_page)
    app.router.add_get(f"{API}/verify-email", link.show, allow_head=False)
    app.router.add_post(f"{API}/verify-email/form", link.submit)
    undo = UndoPage(operations.factor_removal, pages, home=settings.page_links.at() if has_page else None)
    app.router.add_get(f"{API}/factors/undo", undo.show, allow_head=False)
    app.router.add_post(f"{API}/factors/undo/form", undo.submit)
    plain = PlainLinks(operations.password_reset, operations.email_change, operations.not_me, pages)
    for path, submit in plain.forms():
        app.router.add_post(path, submit)
    if not has_page:
        app.router.add_get("/", plain.show, allow_head=False)
    if demo is not None:
        _add_demo(app, demo)
    if settings.dev_outbox and parts.outbox is not None:
        outbox = OutboxPages(parts.outbox, pages)
        app.router.add_get("/dev/outbox", local_only(outbox.as_page))
        app.router.add_get("/dev/outbox.json", local_only(outbox.as_json))


def _add_demo(app: web.Application, folder: Path) -> None:
    """Serve the page: bundled at `/`, if its bundle is current, and from its modules at `/demo/index.html`."""
    modules = StaticFiles(folder, hidden=FOLDER)
    readable = _index_handler(lambda _request: modules.response(INDEX))
    bundle = current_bundle(folder)
    if bundle is not None:
        app.router.add_get(f"/demo/{FOLDER}/{{name}}", bundle.serve)
    app.router.add_get("/", readable if bundle is None else _index_handler(bundle.index))
    app.router.add_get(f"/demo/{INDEX}", readable)
    app.router.add_get("/demo/{path:.+}", modules.serve)


def _index_handler(page: Callable[[web.Request], web.StreamResponse]) -> Callable[[web.Request], Any]:
    async def show(request: web.Request) -> web.StreamResponse:
        response = page(request)
        response.headers["Accept-CH"] = WANTED_HINTS
        return response

    return show
