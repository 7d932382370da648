"""A login let in, or turned away, by a device that is logged in already; and an alert that says it was not me."""

import re
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect
from support.authenticator import Authenticator
from support.browsers import PHONE
from support.clients import Api
from support.mailbox import mailed

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def set_up(device: Any, account: Any) -> Any:
    """Sets up two-step verification for a new account on a node; its laptop, logged in, and its address."""

    async def make(node: Any) -> Any:
        email = await account(node)
        laptop = await device("Laptop")
        await laptop.login(node, email)
        await laptop.by("account").click()
        await laptop.by("setup-totp").click()
        app = Authenticator((await laptop.by("totp-secret").inner_text()).replace(" ", ""))
        await laptop.by("setting-two-step").get_by_label("Code").fill(await app.code())
        await laptop.by("setting-two-step").get_by_test_id("submit").click()
        await laptop.by("codes-kept").click()
        return laptop, email

    return make


@pytest.fixture
def protected(set_up: Any, page_node: Any) -> Any:
    """Like `set_up`, on the shared node."""
    return lambda: set_up(page_node)


async def ask(phone: Any, node: Any, email: str) -> str:
    """Log in and ask the other devices; the number that is shown."""
    await phone.open(node)
    await phone.fill_login(email)
    await phone.by("factor-approval").click()
    return await phone.by("approval-number").inner_text()


async def test_the_right_number_lets_the_new_device_in(page_node: Any, device: Any, protected: Any) -> None:
    laptop, email = await protected()
    phone = await device("Phone", viewport=PHONE)
    number = await ask(phone, page_node, email)
    await expect(laptop.by("approval-choice")).to_have_count(3)
    await phone.picture("25-approval-number")
    await laptop.picture("26-approval-question")
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await phone.is_live()
    await expect(laptop.by("approval")).to_have_count(0)


async def choose_wrong(laptop: Any, number: str) -> None:
    await expect(laptop.by("approval-choice")).to_have_count(3)
    choices = await laptop.by("approval-choice").all_inner_texts()
    wrong = next(choice for choice in choices if choice != number)
    await laptop.by("approval-choice").get_by_text(wrong, exact=True).click()


async def test_a_wrong_number_says_so_and_allows_one_more_try_with_new_numbers(
    page_node: Any, device: Any, protected: Any
) -> None:
    laptop, email = await protected()
    phone = await device("Phone", viewport=PHONE, user_agent=IPHONE)
    number = await ask(phone, page_node, email)
    await choose_wrong(laptop, number)
    await expect(laptop.by("approval-again")).to_contain_text("That number was wrong.")
    await expect(phone.by("approval-number")).not_to_have_text(number)
    await expect(phone.page.get_by_text("A wrong number was chosen.")).to_be_visible()
    await phone.picture("51-second-number")
    await laptop.picture("52-second-question")
    number = await phone.by("approval-number").inner_text()
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await phone.is_live()
    await expect(laptop.by("approval")).to_have_count(0)
    await expect(laptop.by("security-entry").filter(has_text="logged in.")).to_have_count(1)
    # The device that let it in is not alarmed about it.
    await expect(laptop.by("alert-banner")).to_have_count(0)
    await expect(laptop.by("security-entry").filter(has_text="You chose a wrong number")).to_have_count(1)


async def test_a_second_wrong_number_turns_it_away_and_says_for_how_long_approval_is_off(
    demo: Any, device: Any, account: Any, set_up: Any
) -> None:
    node = demo(VIGIL_RATE_LIMITS="on")
    laptop, email = await set_up(node)
    phone = await device("Phone", viewport=PHONE)
    number = await ask(phone, node, email)
    await choose_wrong(laptop, number)
    await expect(phone.by("approval-number")).not_to_have_text(number)
    await expect(laptop.by("approval-again")).to_be_visible()
    await choose_wrong(laptop, await phone.by("approval-number").inner_text())
    await expect(phone.by("notice")).to_contain_text("Login approval is off for 60 minutes")
    await phone.picture("53-approval-off")
    await phone.fill_login(email)
    await phone.by("factor-approval").click()
    await expect(phone.by("form-error")).to_contain_text("Login approval is off for 60 minutes")


async def test_a_denial_turns_it_away_and_closes_every_question(
    page_node: Any, device: Any, protected: Any
) -> None:
    laptop, email = await protected()
    second = await laptop.page.context.new_page()
    await second.goto(page_node.url)
    await expect(second.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    phone = await device("Phone", viewport=PHONE)
    await ask(phone, page_node, email)
    await expect(second.get_by_test_id("approval")).to_be_visible()
    await laptop.by("approval-not-me").click()
    await laptop.by("approval-deny").click()
    await expect(laptop.by("account-notice")).to_contain_text("The login was denied. Change your password")
    await expect(laptop.by("next-password")).to_be_visible()
    # Two-step verification is on already.
    await expect(laptop.by("next-two-step")).to_have_count(0)
    await expect(phone.by("notice")).to_contain_text("was denied on the other device")
    await expect(second.get_by_test_id("approval")).to_have_count(0)
    await expect(phone.by("login-form")).to_be_visible()


async def test_not_me_can_end_every_session(page_node: Any, device: Any, protected: Any) -> None:
    laptop, email = await protected()
    phone = await device("Phone", viewport=PHONE)
    await ask(phone, page_node, email)
    await laptop.by("approval-not-me").click()
    await laptop.picture("27-approval-not-me")
    await laptop.by("approval-deny-all").click()
    await expect(laptop.by("ended")).to_be_visible()
    await expect(phone.by("notice")).to_contain_text("was denied on the other device")


async def test_what_is_typed_for_the_chat_answers_no_strangers_login(
    page_node: Any, device: Any, protected: Any
) -> None:
    laptop, email = await protected()
    await laptop.by("account-close").click()
    await laptop.by("chat-input").focus()
    stranger = await device("Stranger")
    await ask(stranger, page_node, email)
    await expect(laptop.by("approval")).to_be_visible()
    for key in ("Enter", "Space", "Enter"):
        await laptop.page.keyboard.press(key)
    await laptop.page.wait_for_timeout(1_000)
    await expect(laptop.by("approval").get_by_role("heading")).to_be_focused()
    await laptop.page.keyboard.press("Enter")
    await expect(laptop.by("approval-choice")).to_have_count(3)
    await expect(stranger.by("approval-number")).to_be_visible()
    await laptop.page.keyboard.press("Escape")
    await expect(laptop.by("approval")).to_have_count(0)
    await expect(laptop.by("chat-input")).to_be_focused()
    await expect(laptop.by("security-entry").filter(has_text="dismissed the request")).to_have_count(1)


async def test_an_answer_is_told_once_by_who_gave_it_and_by_the_others(
    page_node: Any, device: Any, protected: Any
) -> None:
    laptop, email = await protected()
    second = await laptop.page.context.new_page()
    await second.goto(page_node.url)
    await expect(second.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    phone = await device("Phone", viewport=PHONE)
    number = await ask(phone, page_node, email)
    await expect(second.get_by_test_id("approval")).to_be_visible()
    await second.wait_for_timeout(600)
    await second.keyboard.press("Escape")
    await expect(second.get_by_test_id("approval")).to_have_count(0)
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await phone.is_live()
    told = laptop.by("security-entry").filter(has_text="new device")
    await expect(told).to_have_count(1)
    await expect(told).to_contain_text("You approved a new device.")
    elsewhere = second.get_by_test_id("security-entry").filter(has_text="new device")
    await expect(elsewhere).to_have_count(1)
    await expect(elsewhere).to_contain_text("approved on another of your devices")


async def test_a_proof_for_an_answer_says_so_and_goes_with_the_question(
    page_node: Any, device: Any, protected: Any
) -> None:
    laptop, email = await protected()
    second = await device("Second")
    number = await ask(second, page_node, email)
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await second.is_live()
    phone = await device("Phone", viewport=PHONE)
    number = await ask(phone, page_node, email)
    # Who was let in by another device gave one factor only: its own yes wants the second first.
    await second.by("approval-choice").get_by_text(number, exact=True).click()
    await expect(second.by("step-up")).to_contain_text("Confirm it’s you to let this device in")
    await second.picture("44-proof-for-an-approval")
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await phone.is_live()
    await expect(second.by("step-up")).to_have_count(0)
    await expect(second.by("approval")).to_have_count(0)


async def test_not_me_has_a_way_back_and_the_focus_on_it(page_node: Any, device: Any, protected: Any) -> None:
    laptop, email = await protected()
    phone = await device("Phone", viewport=PHONE)
    await ask(phone, page_node, email)
    await laptop.by("approval-not-me").click()
    await expect(laptop.by("approval-back")).to_be_focused()
    await laptop.page.keyboard.press("Enter")
    await expect(laptop.by("approval-not-me")).to_be_visible()
    await expect(phone.by("approval-number")).to_be_visible()


async def test_an_alert_ends_the_login_that_was_not_mine(page_node: Any, device: Any, account: Any) -> None:
    email = await account(page_node)
    laptop = await device("Laptop")
    stranger = await device("Stranger", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
    await laptop.login(page_node, email)
    await stranger.login(page_node, email)
    await laptop.picture("28-alert")
    tablet = await device("Tablet")
    await tablet.login(page_node, email)
    await laptop.by("not-me").click()
    await expect(stranger.by("ended")).to_be_visible()
    await expect(laptop.by("account-notice")).to_contain_text("Change your password")
    await expect(laptop.by("next-two-step")).to_be_visible()
    await laptop.picture("54-next-steps")
    await laptop.by("next-log-out").click()
    await expect(laptop.by("next-result")).to_have_text("1 other device logged out.")
    await expect(tablet.by("ended")).to_be_visible()
    await laptop.by("next-two-step").click()
    await expect(laptop.by("setting-two-step").get_by_role("heading")).to_be_focused()
    await laptop.by("next-password").click()
    await expect(laptop.page.get_by_label("Current password")).to_be_focused()


async def test_an_iphone_is_named_once_and_claims_nothing(page_node: Any, device: Any, account: Any) -> None:
    email = await account(page_node)
    laptop, phone = await device("Laptop"), await device("", viewport=PHONE, user_agent=IPHONE)
    await laptop.login(page_node, email)
    await phone.login(page_node, email)
    entry = laptop.by("security-entry").filter(has_text="Safari")
    await expect(entry).to_have_count(1)
    await expect(entry).to_contain_text("New device: Safari on iPhone, 127.0.0.1.")
    row = laptop.row("Safari on iPhone")
    await expect(row).to_have_count(1)
    await expect(row).not_to_contain_text("iOS")


async def test_a_new_device_in_a_new_country_is_one_entry_with_one_button(
    device: Any, account: Any, demo: Any
) -> None:
    node = demo(VIGIL_TRUSTED_PROXIES="127.0.0.1")
    email = await account(node)
    dutch, french = ({"X-Forwarded-For": address} for address in ("193.0.6.139", "80.67.169.12"))
    laptop = await device("Laptop", extra_http_headers=dutch)
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"
    stranger = await device("Stranger", user_agent=firefox, extra_http_headers=french)
    await laptop.login(node, email)
    await stranger.login(node, email)
    entry = laptop.by("security-entry").filter(has_text="Stranger")
    await expect(entry).to_contain_text(
        "New device, in a new country: Firefox on Linux, France, 80.67.169.12, calling itself “Stranger”."
    )
    await expect(entry).to_have_count(1)
    await expect(laptop.by("not-me")).to_have_count(1)
    await laptop.picture("33-one-entry")
    await laptop.by("not-me").click()
    await expect(stranger.by("ended")).to_be_visible()
    await expect(laptop.by("not-me")).to_have_count(0)


async def test_the_mail_of_an_alert_leads_to_a_page_that_asks_first(
    page_node: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    email = await account(page_node)
    laptop = await device("Laptop")
    stranger = await device("Stranger", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
    await laptop.login(page_node, email)
    await stranger.login(page_node, email)
    token = await mailed(Api(page_node.url, http), email, re.compile(r"\?notme=(\S+)"))
    phone = await device("Phone", viewport=PHONE)
    await phone.open(page_node, f"/?notme={token}")
    await expect(phone.by("not-me-login")).to_contain_text("Firefox on Linux")
    await expect(phone.by("not-me-login")).to_contain_text("127.0.0.1")
    await expect(phone.by("not-me-login").get_by_role("time")).to_be_visible()
    await phone.picture("29-not-me")
    await stranger.is_live()
    await phone.by("not-me-confirm").click()
    await expect(stranger.by("ended")).to_be_visible()
    await expect(phone.by("forgot-form")).to_be_visible()
    await phone.open(page_node, f"/?notme={token}")
    await expect(phone.by("not-me-login")).to_contain_text("Logged out")


async def test_a_mailed_link_that_is_not_good_says_so_and_leads_on(page_node: Any, device: Any) -> None:
    phone = await device("Phone", viewport=PHONE)
    await phone.open(page_node, "/?notme=not-a-token-of-ours")
    await expect(phone.by("not-me-stale")).to_contain_text("has expired or was already used")
    await expect(phone.by("not-me-confirm")).to_have_count(0)
    await phone.by("to-forgot").click()
    await expect(phone.by("forgot-form")).to_be_visible()
