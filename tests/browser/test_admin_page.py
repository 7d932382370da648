"""The administrators' page: find people, give roles, lock, end sessions, read the trail, live for everybody."""

import re
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect
from support.administration import grant
from support.browsers import PHONE
from support.clients import Api
from support.nodes import Installation
from support.secured import secure


@pytest.fixture
def found(installation: Installation, demo: Any, account: Any) -> Any:
    """A node, the address of its administrator, and of somebody else."""

    async def make() -> Any:
        node = demo()
        boss, other = await account(node, "Boss"), await account(node, "Grace")
        grant(installation, boss, "admin")
        return node, boss, other

    return make


async def test_an_administrator_gives_a_role_that_the_other_page_shows_at_once(found: Any, device: Any) -> None:
    node, boss, other = await found()
    desk, laptop = await device("Desk"), await device("Laptop")
    await desk.login(node, boss)
    await laptop.login(node, other)
    await expect(laptop.by("admin")).to_have_count(0)

    await desk.by("admin").click()
    await expect(desk.by("admin-user")).to_have_count(2)
    await desk.by("admin-query").fill("grace")
    await expect(desk.by("admin-user")).to_have_count(1)
    await desk.picture("60-admin-people")
    await desk.by("admin-user").get_by_role("button").click()
    await expect(desk.by("admin-session")).to_have_count(1)
    await desk.by("role-moderator").click()
    await expect(desk.by("admin-result")).to_contain_text("is now moderator")
    await desk.picture("61-admin-person")

    await laptop.by("admin").click()
    await expect(laptop.by("admin-user")).to_have_count(2)
    # A moderator reads and ends sessions; the rest is not for them.
    await expect(laptop.by("admin-audit")).to_have_count(0)
    await laptop.by("admin-user").filter(has_text=boss).get_by_role("button").click()
    await expect(laptop.by("admin-lock")).to_have_count(0)
    await desk.by("role-moderator").click()
    await expect(laptop.by("admin-view")).to_have_count(0)
    await expect(laptop.by("admin")).to_have_count(0)


async def test_a_locked_account_is_out_on_all_its_devices_until_it_is_unlocked(found: Any, device: Any) -> None:
    node, boss, other = await found()
    desk, laptop = await device("Desk", viewport=PHONE, dark=True), await device("Laptop")
    await desk.login(node, boss)
    await laptop.login(node, other)
    await desk.by("admin").click()
    await desk.by("admin-user").filter(has_text=other).get_by_role("button").click()
    await desk.by("admin-lock").click()
    await desk.page.get_by_label("Reason").fill("Sent spam")
    await desk.picture("62-admin-lock-phone")
    await desk.by("confirm-yes").click()
    await expect(laptop.by("ended-title")).to_have_text("You were logged out by an administrator")
    await expect(desk.by("admin-unlock")).to_be_visible()
    await laptop.by("login-again").click()
    await laptop.fill_login(other)
    await expect(laptop.by("form-error")).not_to_be_empty()
    await desk.by("admin-unlock").click()
    await expect(desk.by("admin-lock")).to_be_visible()
    await laptop.fill_login(other)
    await laptop.is_live()

    await desk.by("admin-audit").click()
    await expect(desk.by("trail-event").filter(has_text=re.compile("Sent spam"))).to_have_count(1)
    assert await desk.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await desk.picture("63-admin-audit-phone")


async def test_an_administrator_ends_one_session_of_somebody(found: Any, device: Any) -> None:
    node, boss, other = await found()
    desk, laptop, phone = await device("Desk"), await device("Laptop"), await device("Phone")
    await desk.login(node, boss)
    await laptop.login(node, other)
    await phone.login(node, other)
    await desk.by("admin").click()
    await desk.by("admin-user").filter(has_text=other).get_by_role("button").click()
    await desk.by("admin-session").filter(has_text="Phone").get_by_test_id("admin-end").click()
    await desk.by("confirm-yes").click()
    await expect(desk.by("admin-result")).to_have_text("Logged out. The device confirmed it.")
    await expect(phone.by("ended-title")).to_have_text("You were logged out by an administrator")
    await expect(desk.by("admin-session")).to_have_count(1)
    await laptop.say("still here")
    await expect(laptop.by("chat-text").last).to_have_text("still here")


async def test_an_administrator_takes_lost_factors_off_and_their_devices_are_logged_out(
    found: Any, device: Any, http: aiohttp.ClientSession
) -> None:
    node, boss, _ = await found()
    account = await secure(Api(node.url, http))
    desk = await device("Desk")
    await desk.login(node, boss)
    await desk.by("admin").click()
    await desk.by("admin-user").filter(has_text=account.email).get_by_role("button").click()
    await desk.by("admin-remove-factors").click()
    await desk.picture("64-admin-lost-factors")
    await desk.by("confirm-yes").click()
    await expect(desk.by("admin-result")).to_contain_text("Removed: authenticator app.")
    await expect(desk.by("admin-session")).to_have_count(0)
    await expect(desk.by("admin-remove-factors")).to_have_count(0)
    assert (await account.login.call("GET", "/me")).code == "session_revoked"
    assert (await account.api.login(account.email)).data["session"]["amr"] == ["pwd"]


async def test_the_audit_log_is_searched_by_what_who_and_when(found: Any, device: Any) -> None:
    node, boss, other = await found()
    desk, laptop = await device("Desk"), await device("Laptop")
    await desk.login(node, boss)
    await laptop.login(node, other)
    await desk.by("admin").click()
    await desk.by("admin-user").filter(has_text=other).get_by_role("button").click()
    await desk.by("role-moderator").click()
    await expect(desk.by("admin-result")).to_contain_text("is now moderator")
    await desk.by("admin-audit").click()
    await desk.by("trail-kind").fill("An account was viewed by this administrator")
    await desk.by("trail-show").click()
    await expect(desk.by("trail-event")).to_have_count(1)
    await desk.by("trail-kind").fill("Logged in")
    await desk.by("trail-person").fill(other)
    await desk.by("trail-show").click()
    await expect(desk.by("trail-event")).to_have_count(1)
    await expect(desk.by("trail-event")).to_contain_text("By password")
    await desk.picture("64-audit-filters")
    await desk.by("trail-to").fill("2020-01-01")
    await desk.by("trail-show").click()
    await expect(desk.by("trail-event")).to_have_count(0)
    await desk.by("trail-to").fill("")
    await desk.by("trail-show").click()
    await desk.by("trail-account").get_by_text(other).click()
    await expect(desk.by("admin-person")).to_contain_text(other)


async def test_the_top_bar_of_an_administrator_fits_a_phone(found: Any, device: Any) -> None:
    node, boss, _ = await found()
    phone = await device("Phone")
    await phone.login(node, boss)
    for width in (360, 390):
        await phone.page.set_viewport_size({"width": width, "height": 740})
        for name in ("connection-state", "admin", "account", "logout"):
            await expect(phone.by(name)).to_be_in_viewport(ratio=1)
        await phone.picture(f"64-admin-{width}")
    await phone.by("admin").click()
    await expect(phone.page).to_have_title("Administration · Vigil")
    await expect(phone.page.get_by_role("heading", level=1)).to_have_count(1)
