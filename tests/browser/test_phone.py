"""A phone number: added to the account by a code, logged in by, and taken off again."""

import asyncio
import re
import secrets
from typing import Any

import aiohttp
from playwright.async_api import expect
from support.browsers import PHONE


async def code_to(node: Any, http: aiohttp.ClientSession, number: str, *, but: str = "") -> str:
    """The newest code that was sent to a number, other than one that is known."""
    for _ in range(100):
        async with http.get(f"{node.url}/dev/outbox.json") as answer:
            messages = (await answer.json())["messages"]
        for message in messages:
            found = re.search(r"\b\d{6}\b", message["text"])
            if message["channel"] == "sms" and message["to"] == number and found and found[0] != but:
                return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no code to {number}")


async def test_a_person_adds_a_number_and_logs_in_by_it(
    demo: Any, device: Any, account: Any, http: aiohttp.ClientSession
) -> None:
    node = demo(VIGIL_PHONE_LOGIN="on")
    email = await account(node)
    number = f"+3161{secrets.randbelow(10**7):07}"
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE)
    await laptop.login(node, email)
    await laptop.by("account").click()
    await laptop.by("change-phone").click()
    await laptop.page.get_by_label("Phone number").fill(f"{number[:3]} {number[3]} {number[4:]}")
    await laptop.by("setting-phone").get_by_test_id("submit").click()
    first = await code_to(node, http, number)
    await laptop.by("setting-phone").get_by_label("Code").fill(first)
    await laptop.by("setting-phone").get_by_test_id("submit").click()
    await expect(laptop.by("phone-summary")).to_have_text(number)
    await laptop.picture("67-phone-setting")

    await phone.open(node)
    await phone.by("to-phone").click()
    await phone.page.get_by_label("Phone number").fill(number)
    await phone.by("submit").click()
    await expect(phone.page.get_by_label("Code")).to_be_focused()
    await expect(phone.by("resend")).to_contain_text("Send again")
    await phone.picture("68-phone-login")
    await phone.page.get_by_label("Code").fill("000000" if first != "000000" else "111111")
    await phone.by("submit").click()
    await expect(phone.by("form-error")).to_contain_text("This code is wrong")
    await phone.by("other-number").click()
    await phone.by("back-to-code").click()
    await phone.page.get_by_label("Code").fill(await code_to(node, http, number, but=first))
    await phone.by("submit").click()
    await phone.is_live()
    await laptop.by("account-close").click()
    await expect(laptop.by("device")).to_have_count(2)
    await laptop.by("account").click()
    await laptop.by("remove-phone").click()
    await laptop.by("remove-phone-confirm").click()
    await expect(laptop.by("phone-summary")).to_contain_text("None")


async def test_a_page_without_sms_does_not_offer_a_phone(demo: Any, device: Any) -> None:
    laptop = await device("Laptop")
    await laptop.open(demo(VIGIL_PHONE_LOGIN="off"))
    await expect(laptop.by("passkeys-elsewhere")).to_be_visible()
    await expect(laptop.by("to-phone")).to_have_count(0)
