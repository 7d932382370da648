"""Two-step verification, as a person sets it up, uses it, and turns it off."""

import asyncio
import re
from pathlib import Path
from typing import Any

from playwright.async_api import expect
from support.authenticator import Authenticator
from support.browsers import PHONE, Device


async def set_up(one: Device) -> tuple[Authenticator, list[str]]:
    """Turn two-step verification on from the account's page; the app, and the recovery codes that were shown."""
    await one.by("account").click()
    await one.by("setup-totp").click()
    await expect(one.by("totp-qr")).to_be_visible()
    await expect(one.by("setting-two-step").get_by_label("Code")).to_be_focused()
    await expect(one.by("totp-open")).to_have_count(0)
    assert await one.by("totp-qr").evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    app = Authenticator((await one.by("totp-secret").inner_text()).replace(" ", ""))
    await one.by("setting-two-step").get_by_label("Code").fill(await app.code())
    await one.picture(f"20-two-step-{one.name.lower()}")
    await one.by("setting-two-step").get_by_test_id("submit").click()
    await expect(one.by("recovery-codes").get_by_role("listitem")).to_have_count(10)
    await one.picture(f"21-recovery-codes-{one.name.lower()}")
    codes = await one.by("recovery-codes").get_by_role("listitem").all_inner_texts()
    await one.by("codes-kept").click()
    return app, codes


async def test_a_code_of_the_app_finishes_a_login_as_does_a_recovery_code(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE)
    await laptop.login(node, email)
    app, codes = await set_up(laptop)
    assert await laptop.by("totp-qr").count() == 0

    await phone.open(node)
    await phone.fill_login(email)
    await phone.by("factor-totp").or_(phone.by("totp-form")).first.wait_for()
    await expect(phone.page.get_by_label("Code", exact=True)).to_be_focused()
    await phone.page.get_by_label("Code", exact=True).fill("000000")
    await phone.by("submit").click()
    await expect(phone.by("form-error")).to_contain_text("code")
    await expect(phone.by("tries-left")).to_have_text("4 tries left.")
    await phone.picture("22-second-factor-phone")
    await phone.page.get_by_label("Code", exact=True).fill(await app.code())
    await phone.by("submit").click()
    await phone.is_live()

    await phone.by("logout").click()
    await expect(phone.by("login-form")).to_be_visible()
    await phone.fill_login(email)
    await phone.by("factor-recovery_code").click()
    await phone.page.get_by_label("Recovery code").fill(codes[0][:-1])
    await phone.by("submit").click()
    await expect(phone.by("code-note")).to_have_text("A recovery code has 5 groups of 5 letters and digits.")
    await expect(phone.by("tries-left")).to_have_count(0)
    await phone.page.get_by_label("Recovery code").fill(codes[0])
    await phone.by("submit").click()
    await phone.is_live()
    await phone.by("account").click()
    await expect(phone.by("two-step-summary")).to_contain_text("9 recovery codes left")
    await phone.by("disable-totp").click()
    await phone.by("disable-confirm").click()
    await expect(phone.by("two-step-summary")).to_contain_text("Off")


async def test_the_account_asks_for_a_proof_when_the_login_is_not_enough(
    page_node: Any, device: Any, account: Any
) -> None:
    node = page_node
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone", dark=True)
    await laptop.login(node, email)
    app, _ = await set_up(laptop)
    await phone.open(node)
    await phone.fill_login(email)
    await phone.by("factor-approval").click()
    number = await phone.by("approval-number").inner_text()
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()
    await phone.is_live()
    await phone.by("account").click()
    await phone.by("new-codes").click()
    await phone.by("new-codes-confirm").click()
    await expect(phone.by("step-up")).to_be_visible()
    await phone.picture("23-step-up")
    await phone.page.keyboard.press("Escape")
    await expect(phone.by("two-step-result")).to_contain_text("Nothing was changed")
    await phone.by("new-codes-confirm").click()
    await phone.by("step-up").get_by_label("Code").fill(await app.code())
    await phone.by("step-up").get_by_test_id("submit").click()
    await expect(phone.by("recovery-codes").get_by_role("listitem")).to_have_count(10)


async def test_the_fifth_wrong_code_goes_back_to_the_password(page_node: Any, device: Any, account: Any) -> None:
    email = await account(page_node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(page_node, email)
    await set_up(laptop)
    await phone.open(page_node)
    await phone.fill_login(email)
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        await phone.page.get_by_label("Code", exact=True).fill("000000")
        await phone.by("submit").click()
        await expect(phone.by("tries-left")).to_have_text(f"{left} left.")
    await phone.page.get_by_label("Code", exact=True).fill("000000")
    await phone.by("submit").click()
    await expect(phone.by("notice")).to_have_text("Too many wrong codes. Log in again.")
    await expect(phone.page.get_by_label("E-mail address")).to_have_value(email)


async def test_a_phone_opens_its_own_app_with_the_key(page_node: Any, device: Any, account: Any) -> None:
    phone = await device("Phone", viewport=PHONE, has_touch=True, is_mobile=True)
    await phone.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await phone.login(page_node, await account(page_node))
    await phone.by("account").click()
    await phone.by("setup-totp").click()
    shown = await phone.by("totp-secret").inner_text()
    assert [len(group) for group in shown.split(" ")] == [4] * 8
    key = shown.replace(" ", "")
    await expect(phone.by("totp-open")).to_have_attribute("href", re.compile(rf"^otpauth://totp/.*secret={key}"))
    await phone.by("copy-key").click()
    await expect(phone.by("two-step-result")).to_have_text("Copied.")
    assert await phone.page.evaluate("navigator.clipboard.readText()") == key
    await phone.by("totp-open").scroll_into_view_if_needed()
    await phone.picture("25-totp-on-a-phone")


async def test_recovery_codes_are_not_lost_by_accident(
    page_node: Any, device: Any, account: Any, tmp_path: Path
) -> None:
    laptop = await device("Laptop")
    await laptop.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await laptop.login(page_node, await account(page_node))
    await laptop.by("account").click()
    await laptop.by("setup-totp").click()
    app = Authenticator((await laptop.by("totp-secret").inner_text()).replace(" ", ""))
    await laptop.by("setting-two-step").get_by_label("Code").fill(await app.code())
    await laptop.by("setting-two-step").get_by_test_id("submit").click()
    shown = laptop.by("recovery-codes").get_by_role("listitem")
    await expect(shown).to_have_count(10)
    codes = await shown.all_inner_texts()
    await laptop.page.keyboard.press("Escape")
    await expect(laptop.by("codes-stay")).to_be_focused()
    await laptop.picture("26-codes-not-kept")
    await laptop.by("codes-stay").click()
    async with laptop.page.expect_event("dialog") as asked:
        leaving = asyncio.create_task(laptop.page.close(run_before_unload=True))
    question = await asked.value
    assert question.type == "beforeunload"
    await question.dismiss()
    await leaving

    async with laptop.page.expect_download() as saved:
        await laptop.by("download-codes").click()
    await (await saved.value).save_as(tmp_path / "codes.txt")
    assert (tmp_path / "codes.txt").read_text().splitlines()[-10:] == codes
    await laptop.by("copy-codes").click()
    await expect(laptop.by("codes-result")).to_have_text("Copied.")
    assert (await laptop.page.evaluate("navigator.clipboard.readText()")).split() == codes
    await laptop.page.keyboard.press("Escape")
    await expect(laptop.by("recovery-codes")).to_have_count(0)


async def test_recovery_codes_leave_the_screen_when_the_device_is_logged_out(
    page_node: Any, device: Any, account: Any
) -> None:
    email = await account(page_node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(page_node, email)
    app, _ = await set_up(laptop)
    await laptop.by("new-codes").click()
    await laptop.by("new-codes-confirm").click()
    await expect(laptop.by("recovery-codes").get_by_role("listitem")).to_have_count(10)
    await phone.open(page_node)
    await phone.fill_login(email)
    await phone.page.get_by_label("Code", exact=True).fill(await app.code())
    await phone.by("submit").click()
    await phone.is_live()
    await phone.row("Laptop").get_by_test_id("device-logout").click()
    await expect(laptop.by("ended")).to_be_visible()
    await expect(laptop.by("recovery-codes")).to_have_count(0)
