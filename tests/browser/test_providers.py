"""Login by a certified OpenID provider in a real browser, with the clicks that a person makes there.

The provider is another site than ours, so this is also where the cookies' SameSite counts.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.async_api import Page, Route, expect
from support.nodes import Node
from support.provider_visits import agree, say_who, sign_in, who
from support.providers import with_query

FETCH = """async ([method, path, body]) => {
    const csrf = document.cookie.match(/(?:^|; )csrf=([^;]+)/)?.[1];
    const headers = {...(body && {"Content-Type": "application/json"}), ...(csrf && {"X-CSRF-Token": csrf})};
    const answer = await fetch("/api/auth" + path, {method, headers, body: body && JSON.stringify(body)});
    return answer.json();
}"""


@pytest.fixture
def node(provided: Node) -> Node:
    return provided


async def call(page: Page, method: str, path: str, body: Any = None) -> Any:
    """What a script of our own page gets."""
    return await page.evaluate(FETCH, [method, path, body])


async def go(page: Page, node: Node, query: str = "") -> None:
    await page.goto(f"{node.url}/api/auth/oauth/npm/start{query}")
    await expect(page).to_have_url(re.compile(r"^http://localhost:\d+/interaction/"))


@pytest.mark.parametrize("provider", ["RS256", "EdDSA"], indirect=True)
async def test_a_person_logs_in_by_the_provider_and_is_logged_in_here(
    node: Node, device: Callable[..., Any]
) -> None:
    page = (await device("Laptop")).page
    name = who()
    await go(page, node, "?returnTo=/docs/api")
    await sign_in(page, name)
    await expect(page).to_have_url(f"{node.url}/docs/api")
    user = (await call(page, "GET", "/me"))["data"]["user"]
    assert (user["email"], user["emailVerified"], user["name"]) == (f"{name}@example.org", True, "Ada")
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies(node.url)}
    assert cookies["__Host-vigil_access"]["sameSite"] == "Strict"
    assert "__Host-vigil_visit" not in cookies


async def test_going_back_in_the_browser_s_history_takes_no_answer_twice(
    node: Node, device: Callable[..., Any]
) -> None:
    page = (await device("Laptop")).page
    ended = ends_of(page)
    returned: list[str] = []
    page.on("request", lambda request: returned.append(request.url) if "/callback?" in request.url else None)
    await go(page, node, "?returnTo=/docs/api")
    await sign_in(page, who())
    await expect(page).to_have_url(f"{node.url}/docs/api")
    await page.goto(returned[0])
    assert f"{node.url}/?login=invalid_token" in ended
    assert (await call(page, "GET", "/me"))["success"]


@pytest.mark.parametrize("issuer", [None, "http://localhost:9"])
async def test_asvs_10_2_2_an_answer_must_name_the_issuer_of_a_provider_that_says_it_does(
    node: Node, device: Callable[..., Any], issuer: str | None
) -> None:
    """RFC 9207, section 2.4: an answer without `iss`, or with another's, may be an attacker's server's."""
    page = (await device("Laptop")).page
    answer = await held_answer(page, node)
    assert "iss=http%3A%2F%2Flocalhost" in answer
    ended = ends_of(page)
    await page.goto(with_query(answer, iss=issuer))
    assert f"{node.url}/?login=provider_failed" in ended
    assert (await call(page, "GET", "/me"))["code"] == "missing_token"


async def test_an_answer_carried_to_another_browser_is_nobody_s(node: Node, device: Callable[..., Any]) -> None:
    mine, theirs = (await device("Laptop")).page, (await device("Phone")).page
    answer = await held_answer(mine, node)
    ended = ends_of(theirs)
    await theirs.goto(answer)
    assert f"{node.url}/?login=invalid_token" in ended
    assert (await call(theirs, "GET", "/me"))["code"] == "missing_token"
    await mine.goto(answer)
    await expect(mine).to_have_url(re.compile(f"^{node.url}/"))
    assert (await call(mine, "GET", "/me"))["success"]


def ends_of(page: Page) -> list[str]:
    """Where the page goes. How a login ended stands in its address until the page has said it."""
    ended: list[str] = []
    page.on("framenavigated", lambda frame: ended.append(frame.url))
    return ended


async def held_answer(page: Page, node: Node) -> str:
    """Sign in at the provider, and hold its answer back on the way, as a thief would; where it leads."""
    held: list[str] = []

    async def hold(route: Route) -> None:
        answer = await route.fetch(max_redirects=0)
        while "/callback?" not in (location := answer.headers["location"]):
            answer = await page.context.request.get(urljoin(route.request.url, location), max_redirects=0)
        held.append(location)
        await route.fulfill(status=200, content_type="text/html", body="held")

    await go(page, node)
    await say_who(page, who())
    await expect(page.get_by_role("button", name="Continue")).to_be_visible()
    await page.route("**/interaction/*", hold)
    await agree(page)
    await expect(page.get_by_text("held")).to_be_visible()
    return held[0]
