"""The page takes bounds and lifetimes from the server, and works without them until the server has told."""

from collections.abc import Callable
from typing import Any

from playwright.async_api import Route, expect
from support.browsers import PASSWORD, Device
from support.nodes import Node

CONFIG = "**/api/auth/config"
TOLD = {
    "password": {"minLength": 12, "maxLength": 40},
    "maxLengths": {"email": 254, "name": 5, "deviceName": 64},
    "codes": {"totpDigits": 6, "smsDigits": 6, "recoveryCodes": 10},
    "tries": {"secondFactor": 5, "smsCode": 5},
    "lifetimes": {"passwordResetLinkMs": 7_200_000},
    "loginMethods": {"phone": False, "providers": [{"id": "harbour", "name": "Harbour"}]},
}


async def test_the_page_checks_and_says_what_the_server_tells(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    laptop: Device = await device("Laptop")
    await laptop.page.route(CONFIG, lambda route: route.fulfill(json={"success": True, "data": TOLD}))
    await laptop.open(page_node)
    await expect(laptop.by("provider-harbour")).to_be_visible()
    await expect(laptop.by("to-phone")).to_have_count(0)
    await laptop.by("to-forgot").click()
    await laptop.page.get_by_label("E-mail address").fill(await account(page_node))
    await laptop.by("submit").click()
    await expect(laptop.by("check-mail")).to_contain_text("The link expires in 2 hours.")
    await laptop.by("to-login").click()
    await laptop.by("to-register").click()
    await expect(laptop.by("password-note")).to_contain_text("At least 12 characters.")
    await laptop.page.get_by_label("Your name").fill("Augusta")
    await laptop.page.get_by_label("Password", exact=True).fill("p" * 41)
    await laptop.by("submit").click()
    await expect(laptop.by("name-note")).to_have_text("Your name must have at most 5 characters.")
    await expect(laptop.by("password-note")).to_have_text("Password must have at most 40 characters.")


async def test_without_the_configuration_the_page_logs_in_and_the_server_checks(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    email = await account(page_node)
    laptop: Device = await device("Laptop")
    await laptop.page.route(CONFIG, lambda route: route.abort())
    await laptop.open(page_node)
    await laptop.by("to-register").click()
    await expect(laptop.by("password-note")).to_have_text("A few random words beat symbols.")
    await laptop.page.get_by_label("E-mail address").fill("new@example.org")
    await laptop.page.get_by_label("Password", exact=True).fill("short")
    await laptop.by("submit").click()
    await expect(laptop.by("password-note")).to_contain_text("8 characters")
    await laptop.by("to-login").click()
    await laptop.fill_login(email, PASSWORD)
    await laptop.is_live()


async def test_a_configuration_that_could_not_be_read_is_read_again(
    page_node: Node, device: Callable[..., Any]
) -> None:
    laptop: Device = await device("Laptop")
    asked: list[str] = []

    async def unavailable_once(route: Route) -> None:
        asked.append(route.request.url)
        await (route.fulfill(status=503, body="") if len(asked) == 1 else route.continue_())

    await laptop.page.route(CONFIG, unavailable_once)
    await laptop.open(page_node)
    await laptop.by("to-register").click()
    await expect(laptop.by("password-note")).to_contain_text("At least 8 characters.")
    assert len(asked) == 2
