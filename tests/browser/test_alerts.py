"""Alerts on whatever view is shown, told by what the server saw and not by what the stranger chose."""

import re
from typing import Any

import pytest
from playwright.async_api import expect
from support.browsers import PHONE
from support.clients import Api

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def beside_a_stranger(device: Any, account: Any, page_node: Any) -> Any:
    """A device that is logged in, and the stranger that logs in after it, with the address of the account."""

    async def make(**options: Any) -> Any:
        email = await account(page_node)
        own = await device("Laptop", **options)
        await own.login(page_node, email)
        stranger = await device("Desk", user_agent=FIREFOX)

        async def enter() -> None:
            await stranger.login(page_node, email)

        return own, stranger, enter, email

    return make


@pytest.mark.parametrize("view", ["chat", "account"])
async def test_an_alert_is_seen_on_every_view_and_in_the_tabs_title(beside_a_stranger: Any, view: Any) -> None:
    phone, stranger, enter, _ = await beside_a_stranger(viewport=PHONE)
    if view == "account":
        await phone.by("account").click()
    await enter()
    banner = phone.by("alert-banner")
    await expect(banner).to_be_in_viewport()
    await expect(banner).to_contain_text("New device: Firefox on Linux, 127.0.0.1, calling itself “Desk”.")
    await expect(phone.page).to_have_title(re.compile(r"^\(1\) "))
    await phone.picture(f"40-alert-{view}")
    await phone.by("alert-not-me").click()
    await expect(stranger.by("ended")).to_be_visible()
    await expect(banner).to_have_count(0)
    await expect(phone.page).to_have_title("Account · Vigil")
    await expect(phone.by("account-notice")).to_contain_text("That device is logged out. Change your password")
    await expect(phone.page.get_by_role("heading", level=1)).to_have_count(1)
    focus = "document.activeElement.textContent"
    assert await phone.page.evaluate(focus) == "Account"


async def test_alerts_are_told_one_by_one_and_can_be_dismissed(
    beside_a_stranger: Any, device: Any, page_node: Any
) -> None:
    laptop, _, enter, email = await beside_a_stranger()
    await enter()
    await expect(laptop.by("alert-banner")).to_be_visible()
    second = await device("Office", user_agent=WINDOWS)
    await second.login(page_node, email)
    await expect(laptop.by("alert-banner")).to_contain_text("Firefox on Windows")
    await expect(laptop.by("alert-banner")).to_contain_text("1 of 2")
    await laptop.picture("41-two-alerts")
    await laptop.page.route("**/api/auth/sessions/*/alerts", lambda route: route.abort())
    await laptop.by("alert-seen").click()
    await expect(laptop.by("problem")).to_contain_text("The alert was not dismissed.")
    await expect(laptop.by("alert-banner")).to_contain_text("Firefox on Windows")
    await laptop.page.unroute("**/api/auth/sessions/*/alerts")
    await laptop.by("alert-seen").click()
    await expect(laptop.by("alert-banner")).to_contain_text("Firefox on Linux")
    await expect(laptop.page).to_have_title("(1) Vigil")
    await laptop.by("alert-seen").click()
    await expect(laptop.by("alert-banner")).to_have_count(0)
    await expect(laptop.page).to_have_title("Vigil")
    # Whoever dismissed an alert may think again: the log keeps its button.
    await expect(laptop.by("not-me")).to_have_count(2)
    assert await laptop.page.evaluate("document.activeElement.tagName") == "MAIN"


async def test_the_log_keeps_room_for_an_alert_beside_many_devices(
    beside_a_stranger: Any, device: Any, page_node: Any
) -> None:
    laptop, _, enter, email = await beside_a_stranger(viewport={"width": 1280, "height": 800})
    for name in ("One", "Two", "Three"):
        await (await device(name)).login(page_node, email)
    await enter()
    await expect(laptop.by("device")).to_have_count(5)
    button = laptop.by("not-me")
    await button.scroll_into_view_if_needed()
    await expect(button).to_be_in_viewport(ratio=1)
    await laptop.picture("42-five-devices")


async def test_a_device_that_is_out_already_cannot_be_disowned_again(
    beside_a_stranger: Any, device: Any, page_node: Any
) -> None:
    laptop, stranger, enter, _ = await beside_a_stranger()
    await enter()
    await expect(laptop.by("not-me")).to_be_visible()
    await stranger.by("logout").click()
    await expect(stranger.by("submit")).to_be_visible()
    await expect(laptop.by("not-me")).to_have_count(0)
    await expect(laptop.by("alert-not-me")).to_have_count(0)
    # It was there all the same: that is told until somebody has seen it.
    await expect(laptop.by("alert-banner")).to_contain_text("Already logged out.")
    await laptop.by("alert-seen").click()
    await expect(laptop.by("alert-banner")).to_have_count(0)


async def test_an_alert_comes_back_after_a_reload_until_it_is_answered_on_any_device(
    beside_a_stranger: Any, device: Any, page_node: Any
) -> None:
    laptop, stranger, enter, email = await beside_a_stranger(viewport=PHONE, dark=True)
    second = await device("Office")
    await second.login(page_node, email)
    await second.page.goto("about:blank")
    await enter()
    await expect(laptop.by("alert-banner")).to_be_visible()
    await laptop.page.reload()
    await expect(laptop.by("alert-banner")).to_contain_text("New device: Firefox on Linux")
    await expect(laptop.page).to_have_title("(1) Vigil")
    await laptop.picture("43-alert-after-a-reload")
    # The new device is not alarmed about itself.
    await stranger.page.reload()
    await expect(stranger.by("device")).to_have_count(3)
    await expect(stranger.by("alert-banner")).to_have_count(0)
    await expect(stranger.by("security-entry")).to_have_count(0)
    # It happened while this page was closed.
    await second.open(page_node)
    await expect(second.by("alert-banner")).to_contain_text("New device: Firefox on Linux")
    await laptop.by("alert-seen").click()
    await expect(second.by("alert-banner")).to_have_count(0)
    for each in (laptop, second):
        await each.page.reload()
        await expect(each.by("device")).to_have_count(3)
        await expect(each.by("alert-banner")).to_have_count(0)


async def test_the_log_begins_with_what_happened_before_the_page_was_opened(
    page_node: Any, device: Any, http: Any
) -> None:
    email = await Api(page_node.url, http).register_by_mail()
    for number in range(12):
        await Api(page_node.url, http).login(email, device=f"Device {number}")
    laptop = await device("Laptop")
    await laptop.page.route("**/api/auth/me/security-log**", lambda route: route.abort())
    await laptop.login(page_node, email)
    await expect(laptop.page.get_by_text("Recorded events could not be loaded.")).to_be_visible()
    await laptop.page.unroute("**/api/auth/me/security-log**")
    await laptop.by("try-again").click()
    await expect(laptop.by("recorded-event")).to_have_count(10)
    await expect(laptop.by("recorded-event").first).to_contain_text(
        "Logged in · Chrome on Linux, 127.0.0.1 · by password"
    )
    await laptop.by("recorded-more").click()
    await expect(laptop.by("recorded-event").filter(has_text="The account was created")).to_have_count(1)
    await laptop.picture("44-recorded-events")
