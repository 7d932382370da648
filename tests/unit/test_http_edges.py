"""The middlewares and the route table, where a running server cannot be made to show them."""

import ipaddress
import re
import time
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from support.nodes import ROOT

from auth.backends.backends import Backends
from auth.core.clock import utc_now
from auth.http.app import ENDPOINTS, HttpParts, create_app
from auth.http.context import ARRIVED
from auth.http.edge.middleware import observe, refuse, secure
from auth.http.pages.plain_links import PlainLinks
from auth.http.pages.static import listed
from auth.operations import Operations
from auth.platform.metrics import Metrics
from auth.platform.settings.settings import Settings
from auth.platform.suspension import SuspensionWatch
from realtime.protocol import asyncapi

# Outside the API nothing needs a login; within it, what is public is declared so.
OUTSIDE = re.compile(r"/(|demo/.*|docs/.*|dev/.*|health/.*|metrics|openapi\.json|asyncapi\.json|\.well-known/.*)")
# What a person's browser walks through: the mailed link, and the two ends of a visit to a provider.
PAGES = {
    ("GET", "/api/auth/verify-email"),
    ("POST", "/api/auth/verify-email/form"),
    ("GET", "/api/auth/factors/undo"),
    ("POST", "/api/auth/factors/undo/form"),
    ("POST", "/api/auth/password/reset/form"),
    ("POST", "/api/auth/email/confirm/form"),
    ("POST", "/api/auth/alerts/not-me/form"),
    ("GET", "/api/auth/oauth/{provider}/start"),
    ("GET", "/api/auth/oauth/{provider}/callback"),
}


def app_of(**environ: str) -> web.Application:
    """The application with its routes; its operations are never called here."""
    settings = Settings.load(environ)
    absent = SimpleNamespace()
    services: Any = SimpleNamespace(metrics=Metrics(), clock=utc_now, limits=absent)
    backends = SimpleNamespace(**{field.name: absent for field in fields(Backends)})
    operations: Any = SimpleNamespace(
        **({field.name: absent for field in fields(Operations)} | {"backends": backends})
    )
    parts: dict[str, Any] = {
        **{field.name: absent for field in fields(HttpParts)},
        "settings": settings,
        "csrf_keys": [b"k" * 32],
        "inside_observe": (),
        "jwks": dict,
        "asyncapi": partial(asyncapi.build, settings.public_url),
        "demo": Path(__file__).parents[2] / "client-demo",
    }
    return create_app(services, operations, HttpParts(**parts))


@pytest.mark.parametrize("demo", ["on", "off"])
def test_every_route_is_in_the_table_of_endpoints_or_outside_the_api(demo: str) -> None:
    app = app_of(VIGIL_DEMO=demo)
    declared = {(row.method, path) for row in app[ENDPOINTS] for path in row.paths}
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        known = (route.method, path) in declared or OUTSIDE.fullmatch(path) or (route.method, path) in PAGES
        assert known, f"{route.method} {path} is neither declared nor outside the API"


def test_what_is_public_is_a_short_list() -> None:
    public = {f"{row.method} {row.path}" for row in app_of()[ENDPOINTS] if row.public}
    assert public == {
        "POST /register",
        "POST /phone/send-otp",
        "POST /phone/verify-otp",
        "POST /verify-email",
        "POST /resend-verification",
        "POST /password/forgot",
        "POST /password/reset",
        "POST /email/confirm",
        "POST /login",
        "POST /2fa/verify",
        "POST /webauthn/login/options",
        "POST /webauthn/login/verify",
        "POST /approvals",
        "POST /approvals/status",
        "POST /alerts/not-me",
        "POST /alerts/not-me/login",
        "POST /factors/undo",
        "GET /oauth/providers",
        "POST /refresh",
        "GET /csrf",
        "GET /config",
        "POST /logout",
    }


@pytest.mark.parametrize(
    ("environ", "is_plain"),
    [
        ({}, False),
        ({"VIGIL_DEMO": "off"}, True),
        ({"VIGIL_DEMO": "off", "VIGIL_APP_URL": "https://app.example/account"}, False),
    ],
)
def test_mailed_links_lead_to_plain_pages_only_where_there_is_no_page(
    environ: dict[str, str], is_plain: bool
) -> None:
    handlers = [route.handler for route in app_of(**environ).router.routes()]
    assert any(getattr(handler, "__func__", None) is PlainLinks.show for handler in handlers) == is_plain


def test_the_outbox_has_no_route_unless_it_is_on() -> None:
    urls = {"VIGIL_MONGO_URL": "mongodb://x", "VIGIL_REDIS_URL": "redis://x", "VIGIL_SECRET_KEY": "x" * 32}
    paths = {route.resource.canonical for route in app_of(**urls).router.routes() if route.resource}
    assert not any(path.startswith("/dev") for path in paths)
    assert any(route.resource.canonical == "/dev/outbox" for route in app_of().router.routes() if route.resource)


@pytest.fixture
async def breaking() -> Any:
    """An application whose one route fails in a way nobody foresaw."""

    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("mongodb://user:hunter2@db")

    async def teapot(_request: web.Request) -> web.Response:
        raise web.HTTPPreconditionFailed(text="<html>short and stout</html>")

    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    origins = frozenset({"http://127.0.0.1:8000"})
    app = web.Application(
        middlewares=[
            observe(Metrics(), (), SuspensionWatch()),
            secure(public_url="http://127.0.0.1:8000", allowed_origins=origins),
            refuse(allowed_origins=origins),
        ]
    )
    app.router.add_get("/fail", fail)
    app.router.add_get("/teapot", teapot)
    app.router.add_get("/moved", moved)
    app.router.add_get("/socket.io/", fail)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_asvs_16_5_1_a_bug_is_a_500_without_a_word_about_it(breaking: Any) -> None:
    answer = await breaking.get("/fail")
    body = await answer.json()
    assert answer.status == 500
    assert body == {
        "success": False,
        "code": "internal_error",
        "message": "Something went wrong on our side.",
        "requestId": answer.headers["X-Request-Id"],
    }
    assert int(answer.headers["Retry-After"]) >= 1


async def test_the_librarys_own_refusals_become_ours(breaking: Any) -> None:
    answer = await breaking.get("/teapot")
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")
    moved = await breaking.get("/moved", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (302, "/elsewhere")


async def test_the_live_sockets_path_is_left_alone(breaking: Any) -> None:
    answer = await breaking.get("/socket.io/")
    assert answer.status == 500
    assert "X-Request-Id" not in answer.headers


def test_only_files_for_browsers_are_listed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("a.js", "sub/b.css", "chat.py", "data.json", ".hidden/c.js", ".d.js"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.js").symlink_to(tmp_path / "chat.py")
    (tmp_path / "outside").symlink_to("/etc")
    assert set(listed(tmp_path)) == {"a.js", "sub/b.css"}


@pytest.mark.parametrize(("trusted", "seconds"), [(("127.0.0.0/8",), 30), ((), 0)])
async def test_a_request_came_when_the_proxy_got_it_if_the_proxy_is_trusted(
    trusted: tuple[str, ...], seconds: float
) -> None:
    node = SuspensionWatch()

    async def waited(request: web.Request) -> web.Response:
        return web.json_response(node.waited(request[ARRIVED]).total_seconds())

    networks = [ipaddress.ip_network(each) for each in trusted]
    app = web.Application(middlewares=[observe(Metrics(), networks, node)])
    app.router.add_get("/waited", waited)
    async with TestClient(TestServer(app)) as client:
        began = time.time()
        answer = await client.get("/waited", headers={"X-Request-Start": f"t={began - seconds:.3f}"})
        took = time.time() - began
        assert seconds - 0.01 <= await answer.json() <= seconds + took + 0.01


def test_nginx_reads_the_clock_before_the_body_has_come() -> None:
    """A value of `proxy_set_header` is made when nginx asks the node, which is after a slow body; `set` is not."""
    lines = [line.strip() for line in (ROOT / "deploy/nginx.conf").read_text().splitlines()]
    assert [line for line in lines if "msec" in line] == ['set $arrived "t=${msec}";']
    assert "proxy_set_header X-Request-Start $arrived;" in lines
