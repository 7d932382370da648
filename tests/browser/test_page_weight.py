"""What a browser loads before the login, and after it; and the page as bundled and as its readable modules."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect
from support.browsers import Device
from support.nodes import Node

LATENCY_MS = 150
BYTES_PER_SECOND = 200_000
MOST_REQUESTS = 8
MOST_BYTES = 90_000


class Traffic:
    """The requests of one page, in order, with their initiators, and the bytes received."""

    def __init__(self) -> None:
        self.initiators: dict[str, str] = {}
        self.received = 0

    @classmethod
    async def of(cls, device: Device) -> "Traffic":
        """Watch the page, on a slow network."""
        traffic = cls()
        cdp = await device.page.context.new_cdp_session(device.page)
        cdp.on("Network.requestWillBeSent", traffic.on_request)
        cdp.on("Network.loadingFinished", traffic.on_loaded)
        slow = dict.fromkeys(("downloadThroughput", "uploadThroughput"), BYTES_PER_SECOND)
        conditions = {"offline": False, "latency": LATENCY_MS, **slow}
        await cdp.send("Network.enable")
        await cdp.send("Network.emulateNetworkConditions", conditions)
        return traffic

    def on_request(self, event: Any) -> None:
        self.initiators[event["request"]["url"]] = event["initiator"]["type"]

    def on_loaded(self, event: Any) -> None:
        self.received += event["encodedDataLength"]

    def by_scripts(self) -> list[str]:
        """What the page's scripts requested, each after the files of the page had arrived."""
        return [url for url, initiator in self.initiators.items() if initiator == "script"]


async def test_the_login_form_costs_few_requests_and_bytes_and_no_chain_of_them(
    page_node: Node, device: Callable[..., Any]
) -> None:
    laptop = await device("Laptop")
    traffic = await Traffic.of(laptop)
    await laptop.open(page_node)
    await expect(laptop.by("login-form")).to_be_visible()
    await laptop.page.wait_for_load_state("networkidle")
    assert len(traffic.initiators) <= MOST_REQUESTS, traffic.initiators
    assert 0 < traffic.received <= MOST_BYTES
    # The page names all its files, so the form is there after two round trips, however slow the network is.
    assert traffic.by_scripts() == [f"{page_node.url}/api/auth/config"]


async def test_the_form_waits_for_no_answer_of_the_api(page_node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await laptop.page.route("**/api/**", lambda _route: None)
    await laptop.open(page_node)
    await expect(laptop.by("login-form")).to_be_visible()


async def test_what_only_a_user_sees_is_loaded_at_the_login(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    laptop = await device("Laptop")
    email = await account(page_node)
    traffic = await Traffic.of(laptop)
    await laptop.open(page_node)
    await expect(laptop.by("login-form")).to_be_visible()
    assert not [url for url in traffic.initiators if "logged-in-view" in url]
    await laptop.fill_login(email)
    await laptop.is_live()
    assert len([url for url in traffic.initiators if "logged-in-view" in url]) == 1


@pytest.mark.parametrize("path", ["/", "/demo/index.html"])
async def test_the_page_works_bundled_and_from_its_modules(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any], path: str
) -> None:
    """The device asserts that nothing violated the Content-Security-Policy."""
    laptop = await device("Laptop")
    requested: list[str] = []
    laptop.page.on("request", lambda request: requested.append(request.url))
    await laptop.open(page_node, path)
    await laptop.fill_login(await account(page_node))
    await laptop.is_live()
    await laptop.by("account").click()
    await expect(laptop.page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    assert laptop.page.url == f"{page_node.url}{path}#account"
    await laptop.page.reload()
    await laptop.is_live()
    scripts = {url.removeprefix(f"{page_node.url}/demo/") for url in requested if url.endswith(".js")}
    assert {url.startswith("bundle/") for url in scripts} == {path == "/"}


async def test_a_page_older_than_the_server_offers_to_reload(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    """After an update the server no longer has the files that an open page would load at the login."""
    laptop = await device("Laptop")
    email = await account(page_node)
    await laptop.page.route("**/logged-in-view-*.js", lambda route: route.fulfill(status=404))
    await laptop.open(page_node)
    await laptop.fill_login(email)
    await expect(laptop.page.get_by_text("This page could not be loaded completely.")).to_be_visible()
    await laptop.picture("46-reload-the-page")
    await laptop.page.unroute("**/logged-in-view-*.js")
    await laptop.by("reload").click()
    await laptop.is_live()
