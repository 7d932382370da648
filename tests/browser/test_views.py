"""Views have addresses: Back, Forward, a reload, a link and the tab's title lead to what a person expects."""

from typing import Any

import pytest
from playwright.async_api import expect
from support.administration import grant
from support.browsers import PHONE
from support.nodes import Installation

FOCUSED = "document.activeElement.dataset.testid"


@pytest.fixture
def administrator(installation: Installation, demo: Any, account: Any, device: Any) -> Any:
    """An administrator's device, and the address of somebody else."""

    async def make(**options: Any) -> Any:
        node = demo()
        boss, other = await account(node, "Boss"), await account(node, "Grace")
        grant(installation, boss, "admin")
        desk = await device("Desk", **options)
        return node, desk, boss, other

    return make


async def test_back_and_forward_move_between_the_views_of_a_login(
    page_node: Any, device: Any, account: Any
) -> None:
    phone = await device("Phone", viewport=PHONE)
    await phone.login(page_node, await account(page_node))
    await phone.by("pane-security").click()
    await phone.by("account").click()
    await expect(phone.page).to_have_title("Account · Vigil")
    assert phone.page.url == f"{page_node.url}/#account"
    await phone.page.go_back()
    await expect(phone.by("link-card")).to_be_visible()
    await expect(phone.page).to_have_title("Vigil")
    await phone.page.go_back()
    await expect(phone.by("devices-card")).to_be_visible()
    await phone.page.go_forward()
    await phone.page.go_forward()
    await expect(phone.by("account-view")).to_be_visible()
    # Closing the account leads to the pane it was opened from.
    await phone.by("account-close").click()
    await expect(phone.by("link-card")).to_be_visible()
    await expect(phone.by("account-view")).to_have_count(0)
    assert await phone.page.evaluate("document.activeElement.tagName") == "MAIN"


async def test_a_reload_and_a_link_lead_to_the_view_even_through_a_login(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    email = await account(page_node)
    await laptop.open(page_node, "/#account")
    await laptop.fill_login(email)
    await expect(laptop.by("account-view")).to_be_visible()
    assert await laptop.page.evaluate("document.activeElement.id") == "account-title"
    await laptop.page.reload()
    await expect(laptop.by("account-view")).to_be_visible()
    # Whoever logs in after a log out begins at the beginning, with the focus in the login.
    await laptop.by("logout").click()
    await expect(laptop.by("submit")).to_be_visible()
    assert laptop.page.url == page_node.url + "/"
    assert await laptop.page.evaluate("document.activeElement.textContent") == "Log in"


async def test_an_administrators_views_have_addresses_and_titles(administrator: Any) -> None:
    node, desk, boss, other = await administrator()
    await desk.login(node, boss)
    await desk.by("admin").click()
    await desk.by("admin-query").fill("grace")
    await expect(desk.by("admin-user")).to_have_count(1)
    await desk.by("admin-user").get_by_role("button").click()
    await expect(desk.page).to_have_title("Ada · Administration · Vigil")
    link = desk.page.url
    await desk.by("admin-back").click()
    # The search is still there, and the focus on whom it had found.
    await expect(desk.by("admin-query")).to_have_value("grace")
    await expect(desk.by("admin-user").get_by_role("button")).to_be_focused()
    await expect(desk.page).to_have_title("Administration · Vigil")
    await desk.by("admin-audit").click()
    await expect(desk.by("trail-event").first).to_be_visible()
    await desk.page.go_back()
    await expect(desk.by("admin-query")).to_be_visible()
    await desk.page.goto("about:blank")
    await desk.page.goto(link)
    await expect(desk.by("admin-person")).to_contain_text(other)


async def test_the_address_of_administration_shows_others_their_devices(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.open(page_node, "/#admin/audit")
    await laptop.fill_login(await account(page_node))
    await expect(laptop.by("device")).to_have_count(1)
    await expect(laptop.by("admin-view")).to_have_count(0)


async def test_a_link_in_an_open_tab_is_followed_and_leaves_nothing_in_the_history(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    await laptop.page.evaluate("location.hash = 'mfa=secret-token&methods=totp&expiresAt=2099-01-01T00:00:00Z'")
    # The server does not know this login.
    await expect(laptop.by("account-notice")).to_be_visible()
    assert "secret-token" not in laptop.page.url
    await laptop.page.go_back()
    assert "secret-token" not in laptop.page.url


async def test_questions_are_cancelled_by_escape_and_give_the_focus_back(administrator: Any, device: Any) -> None:
    node, desk, boss, other = await administrator()
    await desk.login(node, boss)
    laptop = await device("Laptop")
    await laptop.login(node, other)
    await desk.by("logout-all").click()
    dialog = desk.by("confirm")
    await expect(dialog).to_contain_text("This logs out this device. No other device is logged in.")
    assert await desk.page.evaluate(FOCUSED) == "confirm-no"
    await desk.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert await desk.page.evaluate(FOCUSED) == "logout-all"

    await desk.by("admin").click()
    await desk.by("admin-user").filter(has_text=other).get_by_role("button").click()
    await desk.by("admin-end").click()
    await expect(dialog).to_contain_text(f"This logs out Laptop of Ada ({other}).")
    await desk.picture("74-confirm-end")
    await desk.by("confirm-no").click()
    assert await desk.page.evaluate(FOCUSED) == "admin-end"
    await desk.by("admin-lock").click()
    await expect(dialog).to_contain_text(f"Ada ({other}) cannot log in until you unlock the account.")
    await expect(dialog).to_contain_text("This logs out 1 device: Laptop.")
    assert await desk.page.evaluate(FOCUSED) == "confirm-no"
    await desk.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(desk.by("admin-lock")).to_be_focused()
    await laptop.by("logout-all").click()
    await expect(laptop.by("confirm")).to_be_visible()
    await laptop.is_live()


async def test_a_question_of_the_account_page_is_cancelled_by_escape_and_gives_the_focus_back(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    await laptop.by("account").click()
    await laptop.by("delete-account").click()
    await expect(laptop.by("delete-confirm")).to_be_visible()
    await laptop.page.keyboard.press("Escape")
    await expect(laptop.by("delete-confirm")).to_have_count(0)
    await expect(laptop.by("delete-account")).to_be_focused()
    await laptop.by("change-password").click()
    await laptop.by("setting-password").get_by_test_id("cancel").click()
    await expect(laptop.by("change-password")).to_be_focused()
