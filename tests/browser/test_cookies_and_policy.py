"""Our cookies, policy and pages in a real Chromium on plain http://127.0.0.1, as a developer has it."""

import re
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from support.clients import PASSWORD, Api
from support.nodes import Node

from auth.http.cookies import ACCESS_COOKIE, DEVICE_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE

FETCH = """
async ([method, path, body, token]) => {
  const csrf = document.cookie.split("; ").find((pair) => pair.startsWith("csrf="))?.slice(5);
  const headers = { "Content-Type": "application/json" };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(`/api/auth${path}`, { method, headers, body: body && JSON.stringify(body) });
  return [answer.status, await answer.json()];
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> Page:
    """A page of a browser without cookies."""
    return await (await browser.new_context()).new_page()


@pytest.fixture
def home(page_node: Node) -> str:
    """A node whose public URL is where it listens: what a browser sees and what it allows are one origin."""
    return page_node.url


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
async def test_chromium_keeps_and_sends_our_cookies(home: str, http: Any, page: Page, delivery: str) -> None:
    email = await Api(home, http).register()
    await page.goto(home + "/docs/api")
    status, login = await page.evaluate(
        FETCH, ["POST", "/login", {"email": email, "password": PASSWORD, "delivery": delivery}, None]
    )
    assert status == 200
    token = login["data"].get("accessToken")
    kept = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    expected = {ACCESS_COOKIE, REFRESH_COOKIE} if delivery == "cookies" else {REFRESH_ONLY_COOKIE}
    assert set(kept) == expected | {"csrf", DEVICE_COOKIE}
    # Lax: it comes back from a provider, too.
    assert kept[DEVICE_COOKIE]["sameSite"] == "Lax"
    assert all(kept[name]["sameSite"] == "Strict" for name in expected | {"csrf"})
    assert all(cookie["secure"] for cookie in kept.values())
    assert "__Host-" not in await page.evaluate("document.cookie")

    assert (await page.evaluate(FETCH, ["GET", "/me", None, token]))[0] == 200
    status, refreshed = await page.evaluate(FETCH, ["POST", "/refresh", None, None])
    assert (status, refreshed["data"]["outcome"]) == (200, "rotated")
    if delivery == "cookies":
        await page.context.clear_cookies(name=ACCESS_COOKIE)
        assert (await page.evaluate(FETCH, ["PATCH", "/me", {"name": "Grace"}, None]))[0] == 200
        assert ACCESS_COOKIE in {cookie["name"] for cookie in await page.context.cookies()}
    assert (await page.evaluate(FETCH, ["POST", "/logout", None, None]))[0] == 200
    assert {cookie["name"] for cookie in await page.context.cookies()} == {DEVICE_COOKIE}


@pytest.mark.parametrize("planted", ["theme=x {0}", "\u2000{0}", "theme=x\u3000{0}"])
async def test_asvs_3_3_3_what_chromium_lets_a_sibling_host_set_is_not_taken_for_our_cookie(
    home: str, http: Any, page: Page, planted: str
) -> None:
    login = await Api(home, http).login(await Api(home, http).register())
    cookie = planted.format(f"{ACCESS_COOKIE}={login.access_token}")
    port = home.rpartition(":")[2]
    await page.goto(f"http://sibling.vigil.test:{port}/docs/api")
    await page.evaluate("(cookie) => { document.cookie = `${cookie}; Domain=vigil.test; Path=/`; }", cookie)
    await page.goto(f"http://auth.vigil.test:{port}/docs/api")
    async with page.expect_request("**/api/auth/me") as asked:
        status, answer = await page.evaluate(FETCH, ["GET", "/me", None, None])
    sent = (await (await asked.value).all_headers())["cookie"]
    assert f"{ACCESS_COOKIE}={login.access_token}" in sent
    assert (status, answer["code"]) == (401, "missing_token")


async def test_chromium_gets_the_first_subprotocol_that_it_offers(home: str, page: Page) -> None:
    await page.goto(home + "/docs/api")
    chosen = await page.evaluate(
        """() => new Promise((resolve) => {
            const socket = new WebSocket("/socket.io/?EIO=4&transport=websocket", ["chat.v1", "chat.v0"]);
            socket.onopen = () => resolve(socket.protocol);
            socket.onerror = () => resolve("failed");
        })"""
    )
    assert chosen == "chat.v1"


@pytest.mark.parametrize("path", ["/docs/api", "/docs/events", "/dev/outbox", "/"])
async def test_our_pages_keep_to_their_own_policy_and_fit_a_phone(
    home: str, http: Any, page: Page, path: str
) -> None:
    api = Api(home, http)
    await api.mailed_token(await api.register(verify=False))
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: broken.append(str(error)))
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(home + path, wait_until="load")
    await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    await page.wait_for_timeout(200)
    assert not [problem for problem in broken if "Content Security Policy" in problem or "Error:" in problem]
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    await check_contrast(page, "light")
    await check_contrast(page, "dark")


async def check_contrast(page: Page, scheme: Any) -> None:
    """The text of the page stands out from its ground as WCAG 2.2, 1.4.3 asks."""
    await page.emulate_media(color_scheme=scheme)
    colours = await page.evaluate(
        "(({color}, {backgroundColor}) => [color, backgroundColor])"
        "(...[getComputedStyle(document.body), getComputedStyle(document.body)])"
    )
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def test_the_outbox_page_follows_new_mail(home: str, http: Any, page: Page) -> None:
    api = Api(home, http)
    await page.goto(home + "/dev/outbox")
    await page.get_by_role("button", name="Follow new mail").click()
    email = await api.register(verify=False)
    await page.get_by_text(f"To {email}").wait_for(timeout=15_000)
    link = page.locator("article a").first
    await link.click()
    # Another browser than the one that registered: it asks for the password chosen there.
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Confirm address").click()
    await page.wait_for_url("**/?verified=1")
