"""What is kept of somebody, on the account's page: the log, a copy of everything, the end and its undoing."""

import json
from pathlib import Path
from typing import Any

from playwright.async_api import expect
from support.browsers import PHONE


async def test_a_person_reads_takes_ends_and_keeps_their_account(
    page_node: Any, device: Any, account: Any, tmp_path: Path
) -> None:
    email = await account(page_node)
    laptop = await device("Laptop")
    await laptop.login(page_node, email)
    await laptop.by("account").click()
    await laptop.by("show-log").click()
    await expect(laptop.by("log-event").first).to_be_visible()
    async with laptop.page.expect_download() as download:
        await laptop.by("export").click()
    await (await download.value).save_as(tmp_path / "copy.json")
    assert json.loads((tmp_path / "copy.json").read_text())["account"]["email"] == email
    await laptop.picture("32-own-data")

    await laptop.by("delete-account").click()
    await expect(laptop.by("setting-data")).to_contain_text("you can log in and press")
    await laptop.by("delete-confirm").click()
    await expect(laptop.by("ended")).to_have_attribute("data-reason", "account_deleted")
    await expect(laptop.by("ended-title")).to_have_text("Your account will be deleted")
    await expect(laptop.by("ended-reason")).to_contain_text("press “Keep my account”")
    await laptop.picture("34-account-to-be-deleted")
    await laptop.by("login-again").click()
    await laptop.fill_login(email)
    await laptop.is_live()
    await expect(laptop.by("deletion-banner")).to_contain_text("will be deleted on")
    await laptop.picture("36-deletion-banner")
    # The login leads back to the view in which it had ended.
    await expect(laptop.by("data-summary")).to_contain_text("will be deleted")
    await laptop.by("keep-account").click()
    await expect(laptop.by("deletion-banner")).to_have_count(0)
    await expect(laptop.by("data-summary")).not_to_contain_text("will be deleted")


async def test_the_account_page_fits_a_phone(page_node: Any, device: Any, account: Any) -> None:
    phone = await device("Phone", viewport=PHONE, dark=True)
    await phone.login(page_node, await account(page_node))
    await phone.by("account").click()
    await phone.by("show-log").click()
    await expect(phone.by("log-event").first).to_be_visible()
    assert await phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await phone.picture("33-own-data-phone")
