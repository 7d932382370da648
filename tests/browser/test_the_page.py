"""The page itself: forms that say what is wrong, a keyboard, a phone, and a dark room."""

from typing import Any

import pytest
from playwright.async_api import expect
from support.browsers import DESKTOP, PHONE


async def test_empty_fields_are_asked_for_and_a_wrong_password_says_so_and_keeps_what_was_typed(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop = await device("Laptop")
    await laptop.open(node)
    await laptop.by("submit").click()
    await expect(laptop.by("email-note")).to_have_text("Enter your e-mail address.")
    await expect(laptop.by("password-note")).to_have_text("Enter your password.")
    await laptop.fill_login(email, "not the password")
    await expect(laptop.by("form-error")).to_contain_text("Wrong e-mail address or password.")
    await expect(laptop.page.get_by_label("E-mail address")).to_have_value(email)


async def test_all_that_is_wrong_with_a_new_account_is_said_at_once(page_node: Any, device: Any) -> None:
    laptop = await device("Laptop")
    await laptop.open(page_node)
    await laptop.by("to-register").click()
    await expect(laptop.by("password-note")).to_contain_text("At least 8 characters.")
    await laptop.page.get_by_label("E-mail address").fill("nobody")
    await laptop.page.get_by_label("Password", exact=True).fill("short")
    await laptop.by("submit").click()
    await expect(laptop.by("email-note")).to_have_text("E-mail address must look like name@example.org.")
    await expect(laptop.by("password-note")).to_have_text("Password must have at least 8 characters.")
    # What only the server knows is said beside the field too.
    await laptop.page.get_by_label("E-mail address").fill("new@example.org")
    await laptop.page.get_by_label("Password", exact=True).fill("password123")
    await laptop.by("submit").click()
    await expect(laptop.by("password-note")).to_contain_text("Many people use this password")
    await expect(laptop.page.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    await laptop.picture("10-common-password")


async def test_the_main_job_can_be_done_by_keyboard(page_node: Any, device: Any, account: Any) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await phone.login(node, email)
    await laptop.open(node)
    await laptop.page.get_by_label("E-mail address").focus()
    await laptop.page.keyboard.type(email)
    await laptop.page.keyboard.press("Tab")
    await laptop.page.keyboard.type("a quiet harbour at dusk")
    await laptop.page.keyboard.press("Enter")
    await laptop.is_live()
    button = laptop.page.get_by_role("button", name="Log out Phone")
    await expect(button).to_be_visible()
    for _ in range(30):
        if await button.evaluate("element => element === document.activeElement"):
            break
        await laptop.page.keyboard.press("Tab")
    await expect(button).to_be_focused()
    await laptop.page.keyboard.press("Enter")
    await expect(phone.by("ended")).to_be_visible()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_asvs_7_4_4_logging_out_is_in_sight_wherever_one_is_and_nothing_overflows(
    page_node: Any, device: Any, account: Any, viewport: Any
) -> None:
    one = await device("A device with quite a long name, as people give them", viewport=viewport)
    await one.login(page_node, await account(page_node))
    await one.say("a-very-long-word-" * 20)
    await expect(one.by("chat-text").last).to_contain_text("a-very-long-word-")
    assert await one.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    await one.picture(f"11-{viewport['width']}")
    for pane in await one.page.locator("[data-testid^=pane-]").all():
        if await pane.is_visible():
            await pane.click()
        await expect(one.by("logout")).to_be_in_viewport()
    await one.by("logout").click()
    await expect(one.by("submit")).to_be_visible()
