"""The main job, as a person does it: register, log in on two devices, see and end them, stay live."""

import re
import secrets
from typing import Any

from playwright.async_api import expect
from support.browsers import PASSWORD, PHONE


async def test_a_person_registers_follows_the_mail_and_ends_another_device(page_node: Any, device: Any) -> None:
    node = page_node
    email = f"ada-{secrets.token_hex(4)}@example.org"
    laptop = await device("Laptop")
    phone = await device("Phone", viewport=PHONE, dark=True)

    await laptop.open(node)
    await laptop.by("to-register").click()
    await laptop.page.get_by_label("Your name").fill("Ada")
    await laptop.page.get_by_label("E-mail address").fill(email)
    await laptop.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await laptop.picture("01-register")
    await laptop.by("submit").click()
    await expect(laptop.by("check-mail")).to_be_visible()
    await laptop.picture("02-check-mail")

    await laptop.page.goto(node.url + "/dev/outbox")
    await laptop.picture("03-outbox")
    await laptop.page.get_by_role("link", name=re.compile("verify-email")).first.click()
    await laptop.picture("04-confirm")
    await laptop.page.get_by_role("button", name="Confirm address").click()
    await expect(laptop.by("notice")).to_be_visible()
    await laptop.picture("04-verified")
    await laptop.fill_login(email)
    await laptop.is_live()
    await expect(laptop.by("device")).to_have_count(1)
    await expect(laptop.row("Laptop").get_by_test_id("this-device")).to_be_visible()

    await phone.login(node, email)
    await expect(laptop.by("device")).to_have_count(2)
    await expect(laptop.row("Phone")).to_have_attribute("data-online", "true")
    await laptop.say("hello")
    # The room is everybody's: others may have spoken before.
    await expect(phone.by("chat-text").last).to_have_text("hello")
    await phone.picture("05-phone-devices")
    await laptop.picture("06-two-devices")

    await laptop.row("Phone").get_by_test_id("device-logout").click()
    await expect(phone.by("ended-title")).to_have_text("You were logged out by Laptop")
    await expect(laptop.by("devices-result")).to_have_text("Logged out. The device confirmed it.")
    await expect(laptop.by("device")).to_have_count(1)
    await phone.picture("07-logged-out")
    await laptop.picture("08-after-logout")

    await phone.by("login-again").click()
    await phone.fill_login(email)
    await phone.is_live()
    await expect(laptop.by("device")).to_have_count(2)


async def test_two_nodes_serve_two_devices_of_one_person_until_one_is_killed(
    demo: Any, device: Any, account: Any
) -> None:
    first, second = demo(), demo()
    email = await account(first)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(first, email)
    await phone.login(second, email)
    await expect(laptop.row("Phone")).to_have_attribute("data-online", "true")
    await phone.say("from the other node")
    await expect(laptop.by("chat-text")).to_have_text(["from the other node"])
    second.kill()
    await expect(laptop.row("Phone")).to_have_attribute("data-online", "false", timeout=15_000)
    await expect(phone.by("connection-state")).to_have_attribute("data-state", "waiting")


async def test_the_socket_outlives_its_tokens_and_no_message_is_lost(demo: Any, device: Any, account: Any) -> None:
    node = demo(VIGIL_ACCESS_TOKEN_SECONDS="4", VIGIL_EXPIRY_GRACE_SECONDS="5")
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone")
    await laptop.login(node, email)
    await phone.login(node, email)
    sockets = await laptop.socket_id(), await phone.socket_id()
    said: list[str] = []
    for each in (laptop, phone):
        while int(await each.by("reauth-count").get_attribute("data-count") or 0) < 2:
            said.append(f"message {len(said)}")
            await phone.say(said[-1])
            await laptop.page.wait_for_timeout(500)
    await expect(laptop.by("chat-text")).to_have_text(said)
    assert (await laptop.socket_id(), await phone.socket_id()) == sockets


async def test_logging_out_all_others_and_everywhere(page_node: Any, device: Any, account: Any) -> None:
    node = page_node
    email = await account(node)
    laptop, phone, tablet = [await device(name) for name in ("Laptop", "Phone", "Tablet")]
    for each in (laptop, phone, tablet):
        await each.login(node, email)
    await expect(laptop.by("device")).to_have_count(3)
    await laptop.by("logout-others").click()
    await expect(laptop.by("devices-result")).to_have_text("2 devices logged out. 2 connections confirmed it.")
    await expect(phone.by("ended-title")).to_have_text("You were logged out by Laptop")
    await expect(tablet.by("ended-title")).to_have_text("You were logged out by Laptop")
    await phone.by("login-again").click()
    await phone.fill_login(email)
    await phone.is_live()
    await laptop.by("logout-all").click()
    await laptop.by("confirm-yes").click()
    await expect(phone.by("ended")).to_have_attribute("data-reason", "logout_all")
    await expect(laptop.by("submit")).to_be_visible()
    await laptop.page.reload()
    await expect(laptop.by("submit")).to_be_visible()
