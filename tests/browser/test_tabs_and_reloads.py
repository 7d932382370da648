"""Several tabs of one device, reloads and bad networks: what the browser module is for."""

import secrets
from typing import Any

from playwright.async_api import Request, expect


async def test_a_reload_keeps_the_login_and_does_not_flicker_on_other_devices(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(node, email)
    await phone.login(node, email)
    await expect(laptop.row("Phone")).to_have_attribute("data-online", "true")
    await laptop.page.evaluate(
        """() => {
            window.flickers = 0;
            const seen = () => document.querySelectorAll('[data-testid=device][data-online=false]').length;
            new MutationObserver(() => { window.flickers += seen(); })
                .observe(document.body, { subtree: true, childList: true, attributes: true });
        }"""
    )
    await phone.page.reload()
    await phone.is_live()
    await laptop.page.wait_for_timeout(3_000)
    assert await laptop.page.evaluate("window.flickers") == 0
    await expect(laptop.by("device")).to_have_count(2)


async def test_what_was_said_is_there_once_and_in_order_after_a_reload(
    page_node: Any, device: Any, account: Any
) -> None:
    one = await device("Laptop")
    await one.login(page_node, await account(page_node))
    mark = secrets.token_hex(4)
    own = one.page.get_by_test_id("chat-text").filter(has_text=mark)
    for n in range(3):
        await one.say(f"{mark} {n}")
        await expect(own).to_have_count(n + 1)
    await one.page.reload()
    await one.is_live()
    await expect(own).to_have_text([f"{mark} {n}" for n in range(3)])


async def test_tabs_of_one_device_refresh_once_for_all_and_count_as_one(
    demo: Any, device: Any, account: Any
) -> None:
    node = demo(VIGIL_ACCESS_TOKEN_SECONDS="5")
    email = await account(node)
    laptop = await device("Laptop")
    await laptop.login(node, email)
    refreshes: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/api/auth/refresh"):
            refreshes.append(request.url)

    laptop.page.context.on("request", note)
    tabs = [await laptop.page.context.new_page() for _ in range(3)]
    for tab in tabs:
        await tab.goto(node.url)
        await expect(tab.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    await expect(laptop.by("device")).to_have_count(1)
    refreshes.clear()
    await laptop.page.wait_for_timeout(10_000)
    # Four tabs, some ten seconds of five-second tokens: one refresh a lifetime, not four.
    assert 1 <= len(refreshes) <= 4
    for tab in tabs:
        await expect(tab.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")


async def test_asvs_14_3_1_a_logout_leaves_nothing_stored_and_every_tab_says_so_and_logs_in_again(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop = await device("Laptop")
    await laptop.login(node, email)
    # No token is in a script's reach; the attributes of cookies: test_cookies_and_policy.py.
    readable = await laptop.page.evaluate(
        "() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
    )
    assert "rt1." not in readable
    assert "eyJ" not in readable
    other = await laptop.page.context.new_page()
    await other.goto(node.url)
    await expect(other.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    await other.evaluate(
        """async () => {
            localStorage.setItem("draft", "what I was about to say");
            sessionStorage.setItem("draft", "and here");
            await (await caches.open("app")).put("/me", new Response("Ada"));
            await new Promise((done, failed) => {
                const opening = indexedDB.open("app");
                opening.onsuccess = () => { opening.result.close(); done(); };
                opening.onerror = failed;
            });
        }"""
    )
    await laptop.by("logout").click()
    await expect(other.get_by_test_id("ended").or_(other.get_by_test_id("submit"))).to_be_visible()
    await expect(laptop.by("submit")).to_be_visible()
    kept = await other.evaluate(
        """async () => [localStorage.getItem("draft"), await caches.keys(),
            (await indexedDB.databases()).map(({ name }) => name)]"""
    )
    assert kept == [None, [], []]
    # What tells the device from a stranger's stays, and lets nobody in.
    cookies = {cookie["name"] for cookie in await laptop.page.context.cookies()}
    assert cookies == {"__Host-vigil_device"}
    await laptop.page.reload()
    await laptop.fill_login(email)
    await laptop.is_live()
    await other.reload()
    await expect(other.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")


async def test_a_page_that_was_offline_comes_back_and_hears_what_it_missed(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(node, email)
    await laptop.page.context.set_offline(True)
    await laptop.page.evaluate("window.dispatchEvent(new Event('offline'))")
    await phone.login(node, email)
    await laptop.page.context.set_offline(False)
    await expect(laptop.row("Phone")).to_be_visible(timeout=30_000)
    await laptop.is_live()
