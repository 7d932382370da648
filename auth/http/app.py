"""The HTTP application: routes over operations, wired from what the composition root hands in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from auth.account_deletion import AccountDeletion
from auth.account_locks import AccountLocks
from auth.administration import Administration
from auth.admission import Admission
from auth.alerts import NotMe
from auth.approvals import Approvals
from auth.clock import Clock
from auth.email_change import EmailChange
from auth.http import documentation, openapi
from auth.http.account_routes import AccountRoutes
from auth.http.admin_routes import AdminRoutes
from auth.http.alert_routes import AlertRoutes
from auth.http.approval_routes import ApprovalRoutes
from auth.http.body import MAX_BODY_BYTES
from auth.http.credential_routes import CredentialRoutes
from auth.http.identity import CookiePolicy, Identity
from auth.http.middleware import limit, observe, refuse, secure
from auth.http.own_data_routes import OwnDataRoutes
from auth.http.pages import ASSETS, Outbox, OutboxPages, Pages, VerificationPage, page
from auth.http.passkey_routes import PasskeyRoutes
from auth.http.phone_routes import PhoneRoutes
from auth.http.provider_pages import ProviderPages
from auth.http.provider_routes import ProviderRoutes
from auth.http.routing import API, Endpoint, endpoints_of, handler_of
from auth.http.second_factor_routes import SecondFactorRoutes
from auth.http.second_name import SecondName
from auth.http.service_routes import Readiness, ServiceRoutes
from auth.http.session_routes import SessionRoutes
from auth.http.static import Files
from auth.http.token_routes import TokenRoutes
from auth.http.two_factor_routes import TwoFactorRoutes
from auth.linked_identities import LinkedIdentities
from auth.login import Login
from auth.metrics import Metrics
from auth.oauth.flows import ProviderFlows
from auth.own_data import OwnData
from auth.own_passkeys import OwnPasskeys
from auth.own_phone import OwnPhone
from auth.passkeys import PasskeyLogin
from auth.password_change import PasswordChange
from auth.password_reset import PasswordReset
from auth.phone_login import PhoneLogin
from auth.profile import Profile
from auth.provider_login import ProviderLogin
from auth.rate_limits import RateLimits
from auth.registration import Registration
from auth.roles import Roles
from auth.sessions import Sessions
from auth.settings import Settings
from auth.step_up import StepUp
from auth.two_factor import TwoFactor

ENDPOINTS = web.AppKey("endpoints", Sequence[Endpoint])

# High-entropy client hints that help to name a device; browsers send them only to pages that ask.
WANTED_HINTS = "Sec-CH-UA-Model, Sec-CH-UA-Platform-Version"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpDependencies:
    """What the HTTP side needs.

    `csrf_key` binds CSRF tokens to sessions; `asyncapi` is the live socket's document; `outbox` is served
    only where the settings say so; `demo` is the folder of the demo page.
    """

    settings: Settings
    metrics: Metrics
    clock: Clock
    registration: Registration
    login: Login
    passkey_login: PasskeyLogin
    own_passkeys: OwnPasskeys
    own_data: OwnData
    account_deletion: AccountDeletion
    password_change: PasswordChange
    password_reset: PasswordReset
    email_change: EmailChange
    admission: Admission
    step_up: StepUp
    two_factor: TwoFactor
    provider_flows: ProviderFlows
    provider_login: ProviderLogin
    linked_identities: LinkedIdentities
    phone_login: PhoneLogin
    own_phone: OwnPhone
    profile: Profile
    sessions: Sessions
    approvals: Approvals
    not_me: NotMe
    roles: Roles
    account_locks: AccountLocks
    administration: Administration
    jobs_dashboard_url: str | None
    limits: RateLimits
    csrf_key: bytes
    jwks: Callable[[], Mapping[str, Any]]
    readiness: Readiness
    asyncapi: Mapping[str, Any]
    outbox: Outbox | None = None
    demo: Path | None = None


def create_app(deps: HttpDependencies) -> web.Application:
    """The application. The live socket is attached to it afterwards, under `/socket.io/`."""
    settings = deps.settings
    origins = settings.allowed_origins
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[
            observe(deps.metrics, settings.server.trusted_proxies),
            secure(public_url=settings.public_url, allowed_origins=origins),
            refuse(allowed_origins=origins),
            limit(deps.limits, API),
        ],
    )
    pages = Pages()
    app[ENDPOINTS] = _add_api(app, deps)
    _add_service(app, deps, pages)
    _add_pages(app, deps, pages)
    return app


def _add_api(app: web.Application, deps: HttpDependencies) -> Sequence[Endpoint]:
    policy = CookiePolicy(deps.csrf_key, deps.settings.allowed_origins)
    identity = Identity(deps.sessions, deps.limits, policy, deps.clock)
    groups: Sequence[object] = (
        AccountRoutes(deps.registration, deps.profile),
        OwnDataRoutes(deps.own_data, deps.account_deletion),
        CredentialRoutes(deps.password_change, deps.password_reset, deps.email_change),
        TokenRoutes(deps.login, deps.sessions, identity),
        SecondFactorRoutes(deps.admission, deps.step_up, identity),
        TwoFactorRoutes(deps.two_factor),
        PasskeyRoutes(deps.passkey_login, deps.own_passkeys, deps.admission, identity),
        ProviderRoutes(
            deps.provider_flows,
            deps.linked_identities,
            SecondName(deps.settings.second_origin),
            phone_login=deps.settings.phone_login,
        ),
        PhoneRoutes(deps.phone_login, deps.own_phone, identity, enabled=deps.settings.phone_login),
        SessionRoutes(deps.sessions),
        ApprovalRoutes(deps.approvals),
        AlertRoutes(deps.not_me),
        AdminRoutes(deps.administration, deps.roles, deps.account_locks, deps.jobs_dashboard_url),
    )
    rows = []
    for group in groups:
        for row, route in endpoints_of(group):
            handler = handler_of(row, route, identity, deps.roles)
            for path in row.paths:
                app.router.add_route(row.method, path, handler)
            rows.append(row)
    _add_provider_pages(app, deps, identity)
    return rows


def _add_provider_pages(app: web.Application, deps: HttpDependencies, identity: Identity) -> None:
    visits = ProviderPages(
        flows=deps.provider_flows,
        login=deps.provider_login,
        identities=deps.linked_identities,
        identity=identity,
        limits=deps.limits,
        second_name=SecondName(deps.settings.second_origin),
    )
    app.router.add_get(f"{API}/oauth/{{provider}}/start", visits.start, allow_head=False)
    app.router.add_get(f"{API}/oauth/{{provider}}/callback", visits.callback, allow_head=False)


def _add_service(app: web.Application, deps: HttpDependencies, pages: Pages) -> None:
    openapi_document = openapi.build(app[ENDPOINTS])
    service = ServiceRoutes(
        readiness=deps.readiness,
        metrics=deps.metrics,
        jwks=deps.jwks,
        documents={"/openapi.json": openapi_document, "/asyncapi.json": deps.asyncapi},
    )
    app.router.add_get("/health/live", service.live)
    app.router.add_get("/health/ready", service.ready)
    app.router.add_get("/metrics", service.metrics)
    app.router.add_get("/.well-known/jwks.json", service.jwks)
    app.router.add_get("/openapi.json", service.document)
    app.router.add_get("/asyncapi.json", service.document)
    api = pages.render("api.html", **documentation.api_page(openapi_document))
    events = pages.render("events.html", **documentation.events_page(deps.asyncapi))
    app.router.add_get("/docs/api", _page_handler(api))
    app.router.add_get("/docs/events", _page_handler(events))
    app.router.add_get("/docs/assets/{path:.+}", Files(ASSETS).serve)


def _add_pages(app: web.Application, deps: HttpDependencies, pages: Pages) -> None:
    settings = deps.settings
    demo = Files(deps.demo) if deps.demo is not None and settings.server.demo else None
    link = VerificationPage(deps.registration, pages, has_demo=demo is not None)
    app.router.add_get(f"{API}/verify-email", link.follow, allow_head=False)
    if demo is not None:
        app.router.add_get("/", _index_handler(demo))
        app.router.add_get("/demo/{path:.+}", demo.serve)
    if settings.dev_outbox and deps.outbox is not None:
        outbox = OutboxPages(deps.outbox, pages)
        app.router.add_get("/dev/outbox", outbox.as_page)
        app.router.add_get("/dev/outbox.json", outbox.as_json)


def _page_handler(html: str) -> Callable[[web.Request], Any]:
    async def show(_request: web.Request) -> web.Response:
        return page(html)

    return show


def _index_handler(demo: Files) -> Callable[[web.Request], Any]:
    async def show(_request: web.Request) -> web.StreamResponse:
        response = demo.response("index.html")
        response.headers["Accept-CH"] = WANTED_HINTS
        return response

    return show
