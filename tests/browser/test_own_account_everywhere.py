"""What is known of one's own account: one truth on a page, and the same on every device."""

from typing import Any

from playwright.async_api import expect


async def rename(device: Any, name: str) -> None:
    await device.by("account").click()
    await device.by("edit-profile").click()
    await device.page.get_by_label("Your name").fill(name)
    await device.by("profile-form").get_by_test_id("submit").click()
    await expect(device.by("profile-result")).to_have_text("Saved.")
    await device.by("account-close").click()


async def test_a_restarted_node_is_found_again_without_a_login_and_a_new_name_outlives_that(
    demo: Any, device: Any, account: Any
) -> None:
    node = demo()
    laptop = await device("Laptop")
    await laptop.login(node, await account(node))
    await rename(laptop, "Countess")
    await expect(laptop.by("user-name")).to_have_text("Countess")
    port = node.url.rpartition(":")[2]
    assert node.stop() == 0
    await expect(laptop.by("connection-state")).to_have_attribute("data-state", "waiting")
    demo(VIGIL_PORT=port)
    await expect(laptop.by("connection-state")).to_have_attribute("data-state", "live", timeout=30_000)
    await expect(laptop.by("user-name")).to_have_text("Countess")
    await expect(laptop.by("device")).to_have_count(1)


async def test_another_device_shows_the_new_name_when_its_account_is_opened(
    page_node: Any, device: Any, account: Any
) -> None:
    email = await account(page_node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(page_node, email)
    await phone.login(page_node, email)
    await rename(laptop, "Countess")
    await expect(phone.by("user-name")).to_have_text("Ada")
    await phone.by("account").click()
    await expect(phone.by("profile-summary")).to_contain_text("Countess")
    await expect(phone.by("user-name")).to_have_text("Countess")
