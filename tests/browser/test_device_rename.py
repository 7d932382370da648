"""A device is renamed in the list, and every device shows the new name."""

from typing import Any

from playwright.async_api import expect


async def test_a_device_gets_another_name_on_every_device(page_node: Any, device: Any, account: Any) -> None:
    email = await account(page_node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(page_node, email)
    await phone.login(page_node, email)
    row = laptop.row("Phone")
    await row.get_by_role("button", name="Rename Phone").click()
    field = row.get_by_label("Device name")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("Phone")
    await field.fill("n" * 65)
    await row.get_by_test_id("submit").click()
    await expect(row.get_by_test_id("deviceName-note")).to_contain_text("at most 64 characters")
    await laptop.picture("04-rename-device")
    await field.press("Escape")
    await expect(row.get_by_role("button", name="Rename Phone")).to_be_focused()
    await row.get_by_role("button", name="Rename Phone").press("Enter")
    await field.fill("Blue phone")
    await field.press("Enter")
    for one in (laptop, phone):
        await expect(one.row("Blue phone")).to_be_visible()
        await expect(one.row("Phone")).to_have_count(0)
    await expect(laptop.page.get_by_role("button", name="Rename Blue phone")).to_be_focused()
    await laptop.picture("05-renamed-device")
