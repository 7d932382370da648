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


async def test_an_open_form_keeps_what_was_typed_and_the_focus_when_the_list_changes(
    page_node: Any, device: Any, account: Any
) -> None:
    email = await account(page_node)
    laptop, phone, tablet = await device("Laptop"), await device("Phone"), await device("Tablet")
    for one in (laptop, phone, tablet):
        await one.login(page_node, email)
    await expect(laptop.by("device")).to_have_count(3)
    await laptop.row("Phone").get_by_role("button", name="Rename Phone").click()
    field = laptop.page.get_by_label("Device name")
    await field.fill("Blue phone")
    await field.evaluate("field => field.setSelectionRange(4, 4)")
    # Devices that are online come first: Phone changes its place twice, as a row is added, renamed and removed.
    await phone.page.context.set_offline(offline=True)
    await phone.page.close()
    await expect(laptop.row("Phone")).to_have_attribute("data-online", "false")
    desk = await device("Desk")
    await desk.login(page_node, email)
    await expect(laptop.row("Desk")).to_be_visible()
    await desk.row("Tablet").get_by_role("button", name="Rename Tablet").click()
    await desk.page.get_by_label("Device name").fill("Slate")
    await desk.page.get_by_label("Device name").press("Enter")
    await expect(laptop.row("Slate")).to_be_visible()
    await desk.by("logout").click()
    await expect(laptop.row("Desk")).to_have_count(0)
    await expect(field).to_have_value("Blue phone")
    await expect(field).to_be_focused()
    await laptop.page.keyboard.type("-green")
    await expect(field).to_have_value("Blue-green phone")
    await field.press("Enter")
    await expect(laptop.row("Blue-green phone")).to_be_visible()
