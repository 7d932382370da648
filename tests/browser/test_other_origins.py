"""The browser module and stock Socket.IO clients on pages of other origins than the server's, in a real Chromium.

`*.localhost` is loopback and trustworthy to browsers, so that Secure cookies work without TLS; `localhost` itself
counts as a top-level domain: app.site.localhost and auth.site.localhost are one site, app.localhost is another.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright
from support.browsers import QUIET, chromium_path
from support.clients import PASSWORD, Api
from support.nodes import ROOT, Installation, Node, ServiceUrls, drop

from auth.http.cookies import ACCESS_COOKIE

CLIENT = ROOT / "client-demo"
SIBLING, OTHER_SITE, STRANGER = "http://app.site.localhost", "http://app.localhost", "http://evil.localhost"
SERVER = "http://auth.site.localhost"

START = """
async ([baseUrl, delivery, more = {}]) => {
  const { VigilClient } = await import("/client/vigil-client.js");
  window.client = new VigilClient({ baseUrl, delivery, ...more });
  await client.start();
  return client.state.state;
}
"""
LOG_IN = """
([email, password]) => client.login({ email, password }).then(
  () => null,
  (error) => { window.refusal = error.message; return error.code; },
)
"""
READ = """
([url, headers]) => fetch(url, { credentials: "include", headers }).then(
  async (answer) => [answer.status, (await answer.json()).code, answer.headers.has("X-Request-Id")],
  (error) => [error.name],
)
"""
SOCKET = """
async ([url, options]) => {
  const { io } = await import("/client/vendor/socket.io.esm.min.js");
  const socket = io(url, { reconnection: false, ...options });
  const ended = new Promise((resolve) => {
    socket.on("ready", () => resolve("ready"));
    socket.on("connect_error", (error) => resolve(error.data?.code ?? error.message));
  });
  const outcome = await ended;
  if (outcome === "ready" && !options.transports) {
    const { engine } = socket.io;
    if (engine.transport.name === "polling") await new Promise((resolve) => engine.once("upgrade", resolve));
  }
  const way = socket.io.engine?.transport?.name;
  const answer = outcome === "ready" ? await socket.emitWithAck("sessions-list", {}) : { ok: false };
  socket.disconnect();
  return [outcome, way, answer.ok];
}
"""


@pytest.fixture(scope="module")
def nodes(services: ServiceUrls) -> Iterator[dict[str, Node]]:
    """Two nodes: with the cookies of one site, and with those that another site's pages may use."""
    installation = Installation(services)
    more = {
        "VIGIL_PUBLIC_URL": SERVER,
        "VIGIL_ALLOWED_ORIGINS": f"{SIBLING},{OTHER_SITE}",
        # The outbox is for servers with a loopback address alone.
        "VIGIL_DEV_OUTBOX": "off",
        "VIGIL_REQUIRE_VERIFIED_EMAIL": "off",
    }
    started = {value: installation.start(VIGIL_COOKIE_SAME_SITE=value, **more) for value in ("strict", "none")}
    yield started
    for node in started.values():
        node.stop()
    drop(services, installation.name)


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    await serve_pages(context)
    yield context
    await context.close()


async def serve_pages(context: BrowserContext) -> None:
    """Pages of those origins, with the module beside them as an application would have it."""

    async def answer(route: Route) -> None:
        name = route.request.url.partition("/client/")[2]
        file: Path = CLIENT / name
        if name and file.is_file():
            await route.fulfill(path=file, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html><title>An application</title>", content_type="text/html")

    for origin in (SIBLING, OTHER_SITE, STRANGER):
        await context.route(f"{origin}/**", answer)
        # To Chromium these pages come from nowhere, and the server is in a network of this machine alone.
        await context.grant_permissions(["local-network-access"], origin=origin)


def under_its_name(node: Node) -> str:
    return f"{SERVER}:{node.url.rpartition(':')[2]}"


async def is_live(page: Page) -> None:
    await page.wait_for_function("client.state.state === 'live'", timeout=30_000)


async def stays_logged_in(page: Page, origin: str, node: Node, delivery: str, http: Any) -> None:
    """Log in, act, renew after a reload, act, log out: each of the last four needs the CSRF token."""
    email = await Api(node.url, http).register(verify=False)
    asked = [under_its_name(node), delivery]
    await page.goto(f"{origin}/")
    assert await page.evaluate(START, asked) == "logged-out"
    assert await page.evaluate(LOG_IN, [email, PASSWORD]) is None
    await is_live(page)
    await page.evaluate("client.call('PATCH', '/me', { name: 'Grace' })")
    await page.reload()
    assert await page.evaluate(START, asked) != "logged-out"
    await is_live(page)
    assert (await page.evaluate("client.call('PATCH', '/me', { name: 'Hopper' })"))["user"]["name"] == "Hopper"
    await page.evaluate("client.logout()")
    await page.reload()
    assert await page.evaluate(START, asked) == "logged-out"


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
@pytest.mark.parametrize(("origin", "same_site"), [(SIBLING, "strict"), (SIBLING, "none"), (OTHER_SITE, "none")])
async def test_a_login_by_cookies_lasts_on_a_page_of_another_host(
    nodes: dict[str, Node], context: BrowserContext, http: Any, origin: str, same_site: str, delivery: str
) -> None:
    await stays_logged_in(await context.new_page(), origin, nodes[same_site], delivery, http)


async def test_a_csrf_token_that_another_tabs_login_has_replaced_is_asked_for_anew(
    nodes: dict[str, Node], context: BrowserContext, http: Any
) -> None:
    node = nodes["strict"]
    email = await Api(node.url, http).register(verify=False)
    first, second = await context.new_page(), await context.new_page()
    for page in (first, second):
        await page.goto(f"{SIBLING}/")
        await page.evaluate(START, [under_its_name(node), "cookies", {"tabs": None}])
        assert await page.evaluate(LOG_IN, [email, PASSWORD]) is None
    edited = await first.evaluate("client.call('PATCH', '/me', { name: 'Grace' })")
    assert edited["user"]["name"] == "Grace"


@pytest.mark.parametrize("more", [{}, {"tabs": None}])
async def test_a_login_waits_for_the_refresh_whose_late_answer_would_replace_its_cookies(
    nodes: dict[str, Node], context: BrowserContext, http: Any, more: dict[str, Any]
) -> None:
    node, page, order = nodes["strict"], await context.new_page(), list[str]()
    email = await Api(node.url, http).register(verify=False)
    asked = [under_its_name(node), "cookies", more]
    await page.goto(f"{SIBLING}/")
    await page.evaluate(START, asked)
    assert await page.evaluate(LOG_IN, [email, PASSWORD]) is None
    await is_live(page)
    await page.reload()

    async def hold(route: Route) -> None:
        # Time for a login that does not wait.
        await asyncio.sleep(0.5)
        await route.continue_()

    await page.route("**/api/auth/refresh", hold)
    page.on("request", lambda request: order.append("login") if request.url.endswith("/login") else None)
    page.on("requestfinished", lambda request: order.append("refresh") if "/refresh" in request.url else None)
    async with page.expect_request("**/api/auth/refresh"):
        await page.evaluate(START, asked)
    assert await page.evaluate(LOG_IN, [email, PASSWORD]) is None
    await is_live(page)
    assert order == ["refresh", "login"]


async def test_it_lasts_where_third_party_cookies_are_blocked(nodes: dict[str, Node], http: Any) -> None:
    arguments = [*QUIET, "--test-third-party-cookie-phaseout", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        context = await chromium.new_context()
        await serve_pages(context)
        await stays_logged_in(await context.new_page(), OTHER_SITE, nodes["none"], "cookie", http)
        await chromium.close()


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
async def test_where_no_cookies_come_back_the_login_says_so_and_what_can_be_the_cause(
    nodes: dict[str, Node], context: BrowserContext, http: Any, delivery: str
) -> None:
    node = nodes["strict"]
    email = await Api(node.url, http).register(verify=False)
    page = await context.new_page()
    await page.goto(f"{OTHER_SITE}/")
    await page.evaluate(START, [under_its_name(node), delivery])
    assert await page.evaluate(LOG_IN, [email, PASSWORD]) == "cookies_blocked"
    said = await page.evaluate("refusal")
    assert "this browser blocks third-party cookies" in said
    assert "VIGIL_COOKIE_SAME_SITE" in said
    assert await page.evaluate("client.state.state") == "logged-out"


async def test_a_page_reads_why_a_request_is_too_large(nodes: dict[str, Node], context: BrowserContext) -> None:
    server = under_its_name(nodes["strict"])
    page = await context.new_page()
    await page.goto(f"{SIBLING}/")
    assert await page.evaluate(READ, [f"{server}/health/live?{'x' * 30_000}", {}]) == [414, "uri_too_long", True]
    many: list[Any] = [{"name": f"c{n}", "value": "x" * 4_000, "url": server} for n in range(9)]
    await context.add_cookies(many)
    assert await page.evaluate(READ, [f"{server}/health/live", {}]) == [431, "headers_too_large", True]
    await page.goto(f"{STRANGER}/")
    assert await page.evaluate(READ, [f"{server}/health/live?{'x' * 30_000}", {}]) == ["TypeError"]


async def test_the_cookies_of_one_site_are_not_brought_along_by_another(
    nodes: dict[str, Node], context: BrowserContext, http: Any
) -> None:
    node = nodes["none"]
    email = await Api(node.url, http).register(verify=False)
    page = await context.new_page()
    await page.goto(f"{OTHER_SITE}/")
    await page.evaluate(START, [under_its_name(node), "cookies"])
    assert await page.evaluate(LOG_IN, [email, PASSWORD]) is None
    kept = {cookie["name"]: cookie for cookie in await context.cookies()}
    assert kept[ACCESS_COOKIE]["sameSite"] == "None"
    await page.goto(f"{STRANGER}/")
    async with page.expect_request("**/api/auth/me") as asked:
        await page.evaluate(
            "(url) => fetch(url, { mode: 'no-cors', credentials: 'include' }).catch(() => undefined)",
            f"{under_its_name(node)}/api/auth/me",
        )
    assert "cookie" not in await (await asked.value).all_headers()


@pytest.mark.parametrize("options", [{}, {"transports": ["polling"]}, {"transports": ["websocket"]}])
@pytest.mark.parametrize("with_credentials", [False, True])
async def test_a_stock_client_connects_by_every_transport_from_an_allowed_origin(
    nodes: dict[str, Node], context: BrowserContext, http: Any, options: dict[str, Any], with_credentials: bool
) -> None:
    node = nodes["strict"]
    api = Api(node.url, http)
    login = await api.login(await api.register(verify=False))
    page = await context.new_page()
    await page.goto(f"{OTHER_SITE}/")
    more = {
        "auth": {"token": login.access_token},
        "withCredentials": with_credentials,
        "extraHeaders": {"X-A": "b"},
    }
    outcome, way, ok = await page.evaluate(SOCKET, [under_its_name(node), options | more])
    assert (outcome, ok) == ("ready", True)
    assert way == ("polling" if options.get("transports") == ["polling"] else "websocket")
    await page.goto(f"{STRANGER}/")
    outcome, _, _ = await page.evaluate(SOCKET, [under_its_name(node), options | more])
    assert outcome in {"xhr poll error", "origin_not_allowed"}
