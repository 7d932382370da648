"""Passwords and addresses, as a person changes them: from the account's page, and by mailed links."""

import re
from typing import Any

import aiohttp
from playwright.async_api import expect
from support.browsers import PHONE
from support.clients import Api
from support.mailbox import mailed

NEW_PASSWORD = "a louder harbour at dawn"


async def test_a_forgotten_password_is_replaced_by_a_mailed_link(
    page_node: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE)
    await laptop.login(node, email)
    await phone.open(node)
    await phone.page.get_by_label("E-mail address").fill(email)
    await phone.by("to-forgot").click()
    await expect(phone.page.get_by_label("E-mail address")).to_have_value(email)
    await phone.by("submit").click()
    await expect(phone.page.get_by_role("heading", name="Check your mail")).to_be_focused()
    await expect(phone.by("check-mail")).to_contain_text("choose a new password")
    await phone.picture("23-reset-mail-phone")
    token = await mailed(Api(node.url, http), email, re.compile(r"\?reset=(\S+)"))
    await phone.open(node, f"/?reset={token}")
    await phone.page.get_by_label("New password").fill(NEW_PASSWORD)
    await phone.picture("24-reset-phone")
    assert token not in phone.page.url
    await phone.by("submit").click()
    await expect(phone.by("notice")).to_contain_text("Your password was changed")
    await expect(laptop.by("ended")).to_have_attribute("data-reason", "password_changed")
    await phone.fill_login(email, NEW_PASSWORD)
    await phone.is_live()


async def test_a_mailed_link_is_not_overlaid_by_the_end_of_an_earlier_session(
    page_node: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    node = page_node
    email = await account(node)
    phone, laptop = await device("Phone", viewport=PHONE), await device("Laptop")
    await phone.login(node, email)
    await phone.page.goto("about:blank")
    await laptop.login(node, email)
    await laptop.row("Phone").get_by_test_id("device-logout").click()
    await expect(laptop.by("device")).to_have_count(1)
    async with phone.page.expect_response(re.compile("/api/auth/refresh")) as refused:
        await phone.open(node, "/?reset=a-token-that-is-not-used")
    assert (await refused.value).status == 401
    await expect(phone.page.get_by_label("New password")).to_be_visible()
    await phone.page.get_by_label("New password").fill(NEW_PASSWORD)
    await expect(phone.by("notice")).to_have_count(0)


async def test_a_reset_refuses_the_current_password_and_lifts_the_lockout_of_wrong_ones(
    demo: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    node = demo(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_LOGIN="2/day")
    email = await account(node)
    phone = await device("Phone", viewport=PHONE)
    await phone.open(node)
    for problem in ["Wrong e-mail", "Wrong e-mail", "Too many attempts"]:
        await phone.fill_login(email, "not my password at all")
        await expect(phone.by("form-error")).to_contain_text(problem)
    api = Api(node.url, http)
    assert (await api.call("POST", "/password/forgot", {"email": email})).status == 202
    token = await mailed(api, email, re.compile(r"\?reset=(\S+)"))
    await phone.open(node, f"/?reset={token}")
    await phone.page.get_by_label("New password").fill("a quiet harbour at dusk")
    await phone.by("submit").click()
    await expect(phone.by("password-note")).to_have_text("Choose a password other than the current one.")
    await phone.page.get_by_label("New password").fill(NEW_PASSWORD)
    await phone.by("submit").click()
    await phone.fill_login(email, NEW_PASSWORD)
    await phone.is_live()


async def test_a_link_that_was_used_leads_to_a_new_one(page_node: Any, device: Any) -> None:
    phone = await device("Phone")
    await phone.open(page_node, "/?reset=not-a-token-of-ours")
    await phone.page.get_by_label("New password").fill(NEW_PASSWORD)
    await phone.by("submit").click()
    await expect(phone.by("notice")).to_contain_text("has expired or was already used")
    await expect(phone.by("forgot-form")).to_be_visible()


async def test_changing_the_password_logs_the_other_devices_out(page_node: Any, device: Any, account: Any) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(node, email)
    await phone.login(node, email)
    await laptop.by("account").click()
    await laptop.by("change-password").click()
    await laptop.page.get_by_label("Current password").fill("a quiet harbour at dawn")
    await laptop.page.get_by_label("New password").fill(NEW_PASSWORD)
    await laptop.by("setting-password").get_by_test_id("submit").click()
    await expect(laptop.by("currentPassword-note")).to_have_text("This is not your current password.")
    await laptop.page.get_by_label("Current password").fill("a quiet harbour at dusk")
    await laptop.page.get_by_label("New password").fill(NEW_PASSWORD)
    await laptop.by("setting-password").get_by_test_id("submit").click()
    await expect(laptop.by("password-result")).to_contain_text("1 other device logged out")
    await expect(phone.by("ended")).to_have_attribute("data-reason", "password_changed")
    await laptop.is_live()


async def test_the_address_changes_when_both_mailboxes_agree(
    page_node: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    node, api = page_node, Api(page_node.url, http)
    email = await account(node)
    other = f"new-{email}"
    laptop = await device("Laptop")
    await laptop.login(node, email)
    await laptop.by("account").click()
    await laptop.by("change-email").click()
    await laptop.page.get_by_label("New e-mail address").fill(other)
    await laptop.by("setting-email").get_by_test_id("submit").click()
    await expect(laptop.by("email-result")).to_contain_text("open the link in both")
    await expect(laptop.by("pending-email")).to_contain_text(f"Change to {other}, until ")
    await laptop.picture("55-pending-address")
    token = await mailed(api, email, re.compile(r"\?email=(\S+)"))
    reader = await device("Mailbox")
    await reader.open(node, f"/?email={token}")
    await reader.by("confirm-email").click()
    await expect(reader.by("notice")).to_contain_text("one to go")
    await laptop.page.reload()
    await expect(laptop.by("pending-email")).to_contain_text("Confirmed from your current mailbox.")

    # In the browser that is logged in, the page says it where the person is.
    token = await mailed(api, other, re.compile(r"\?email=(\S+)"))
    await laptop.open(node, f"/?email={token}")
    await laptop.by("confirm-email").click()
    await expect(laptop.by("account-notice")).to_contain_text(f"Your address is now {other}")
    await expect(laptop.by("email-summary")).to_have_text(other)
    await expect(laptop.by("pending-email")).to_have_count(0)
    await laptop.by("logout").click()
    await expect(laptop.by("login-form")).to_be_visible()
    await expect(laptop.by("notice")).to_have_count(0)


async def test_a_change_of_address_that_waits_is_cancelled(page_node: Any, device: Any, account: Any) -> None:
    email = await account(page_node)
    phone = await device("Phone", viewport=PHONE, dark=True)
    await phone.login(page_node, email)
    await phone.by("account").click()
    await phone.by("change-email").click()
    await phone.page.get_by_label("New e-mail address").fill(f"new-{email}")
    await phone.by("setting-email").get_by_test_id("submit").click()
    await phone.by("pending-email").scroll_into_view_if_needed()
    await phone.picture("56-pending-address-phone")
    await phone.by("cancel-email").click()
    await expect(phone.by("email-result")).to_contain_text("The change was cancelled.")
    await expect(phone.by("pending-email")).to_have_count(0)
    await expect(phone.by("email-summary")).to_have_text(email)


async def test_a_verified_address_is_told_to_whoever_is_logged_in(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    await laptop.open(page_node, "/?verified=1")
    await expect(laptop.by("account-notice")).to_have_text("Your e-mail address is verified.")


async def test_a_first_password_for_somebody_who_has_one_says_so(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    await laptop.by("account").click()
    await laptop.by("change-password").click()
    await laptop.by("first-password").click()
    await laptop.page.get_by_label("New password").fill(NEW_PASSWORD)
    await laptop.by("setting-password").get_by_test_id("submit").click()
    await expect(laptop.by("password-result")).to_contain_text("already has a password")
    await expect(laptop.page.get_by_label("Current password")).to_be_visible()
