"""Every view is free of the accessibility problems that axe finds, in both colour schemes."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect
from support.administration import grant
from support.authenticator import Authenticator
from support.browsers import DESKTOP, PHONE, Device
from support.clients import Api
from support.mailbox import mailed
from support.nodes import Installation, Node

AXE = Path(__file__).resolve().parents[1] / "axe/node_modules/axe-core/axe.min.js"
PROBLEMS = """
async (rules) => (await axe.run(document, rules ? { runOnly: rules } : {})).violations.flatMap(({ id, nodes }) =>
  nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary}`))
"""


class Reader:
    """Opens devices whose views it examines, and collects what it finds."""

    def __init__(self, device: Callable[..., Any]) -> None:
        self._device = device
        self.problems: list[str] = []

    async def open(self, name: str, **options: Any) -> Device:
        one: Device = await self._device(name, **options)
        await one.page.context.add_init_script(path=AXE)
        return one

    async def examine(self, one: Device, view: str) -> None:
        await one.page.emulate_media(color_scheme="light")
        found = await one.page.evaluate(PROBLEMS, None)
        # The other scheme changes colours and nothing else.
        await one.page.emulate_media(color_scheme="dark")
        found += await one.page.evaluate(PROBLEMS, ["color-contrast"])
        self.problems += [f"{view}: {problem}" for problem in found]


@pytest.fixture
def reader(device: Callable[..., Any]) -> Reader:
    return Reader(device)


async def secure(one: Device) -> Authenticator:
    """Turn two-step verification on; the dialog with the recovery codes is open then."""
    await one.by("setup-totp").click()
    app = Authenticator((await one.by("totp-secret").inner_text()).replace(" ", ""))
    await one.by("setting-two-step").get_by_label("Code").fill(await app.code())
    await one.by("setting-two-step").get_by_test_id("submit").click()
    await expect(one.by("recovery-codes").get_by_role("listitem")).to_have_count(10)
    return app


async def test_the_views_before_a_login(page_node: Node, reader: Reader) -> None:
    one = await reader.open("Laptop")
    await one.open(page_node)
    await expect(one.by("to-phone")).to_be_visible()
    await reader.examine(one, "login")
    await one.by("submit").click()
    await expect(one.by("email-note")).not_to_be_empty()
    await reader.examine(one, "login with errors")
    await one.by("to-phone").click()
    await reader.examine(one, "phone")
    await one.by("to-login").click()
    await one.by("to-register").click()
    await reader.examine(one, "register")
    await one.by("to-login").click()
    await one.by("to-forgot").click()
    await reader.examine(one, "forgot")
    await one.page.get_by_label("E-mail address").fill("ada@example.org")
    await one.by("submit").click()
    await expect(one.by("check-mail")).to_be_visible()
    await reader.examine(one, "mail")
    for query, ready in (
        ("reset=token", "reset-form"),
        ("email=token", "confirm-email"),
        ("notme=token", "not-me-stale"),
        ("verified=0&code=token_expired", "resend-form"),
    ):
        await one.open(page_node, f"/?{query}")
        await expect(one.by(ready)).to_be_visible()
        await reader.examine(one, query)
    assert reader.problems == []


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_the_views_of_a_login(page_node: Node, reader: Reader, account: Any, viewport: Any) -> None:
    email = await account(page_node)
    one, other = await reader.open("Laptop", viewport=viewport), await reader.open("Other")
    await one.login(page_node, email)
    await one.say("hello")
    await expect(one.by("chat-text").first).to_be_visible()
    for pane in ("chat", "devices", "security"):
        if await one.by(f"pane-{pane}").is_visible():
            await one.by(f"pane-{pane}").click()
        await reader.examine(one, pane)
    await one.by("account").click()
    app = await secure(one)
    await reader.examine(one, "recovery codes")
    await one.by("codes-kept").click()
    await other.open(page_node)
    await other.fill_login(email)
    await expect(other.by("mfa-deadline")).to_be_visible()
    await reader.examine(other, "second factor")
    await other.by("factor-approval").click()
    await expect(other.by("approval-number")).to_be_visible()
    await reader.examine(other, "approval number")
    await expect(one.by("approval-choice").first).to_be_enabled()
    await reader.examine(one, "approval question")
    await other.by("factor-totp").click()
    await other.page.get_by_label("Code", exact=True).fill(await app.code())
    await other.by("submit").click()
    await other.is_live()
    await one.page.keyboard.press("Escape")
    await expect(one.by("approval")).to_have_count(0)
    await one.by("account-close").click()
    if await one.by("pane-devices").is_visible():
        await one.by("pane-devices").click()
    await one.row("Other").get_by_test_id("device-rename").click()
    await reader.examine(one, "renaming a device")
    await one.row("Other").get_by_test_id("cancel").click()
    await one.row("Other").get_by_test_id("device-logout").click()
    await expect(other.by("ended")).to_be_visible()
    await reader.examine(other, "logged out")
    assert reader.problems == []


async def test_the_account_with_each_card_open(page_node: Node, reader: Reader, account: Any) -> None:
    one = await reader.open("Laptop")
    await one.login(page_node, await account(page_node))
    await one.by("account").click()
    await expect(one.by("data-summary")).to_be_visible()
    await expect(one.by("two-step-summary")).not_to_contain_text("Loading")
    await expect(one.by("passkeys-summary")).not_to_contain_text("Loading")
    await reader.examine(one, "account")
    for button in (
        "edit-profile",
        "change-password",
        "change-email",
        "change-phone",
        "show-log",
        "delete-account",
    ):
        await one.by(button).click()
    await expect(one.by("log-event").first).to_be_visible()
    await one.by("setup-totp").click()
    await expect(one.by("totp-qr")).to_be_visible()
    await reader.examine(one, "every card open")
    assert reader.problems == []


async def test_administration(installation: Installation, demo: Any, reader: Reader, account: Any) -> None:
    node = demo()
    boss, _ = await account(node, "Boss"), await account(node, "Grace")
    await asyncio.to_thread(grant, installation, boss, "admin")
    desk = await reader.open("Desk")
    await desk.login(node, boss)
    await desk.by("admin").click()
    await expect(desk.by("admin-user")).to_have_count(2)
    await reader.examine(desk, "people")
    await desk.by("admin-user").filter(has_text=boss).get_by_role("button").click()
    await expect(desk.by("admin-session")).to_have_count(1)
    await reader.examine(desk, "a person")
    await desk.by("admin-back").click()
    await desk.by("admin-audit").click()
    await expect(desk.by("trail-event").first).to_be_visible()
    await reader.examine(desk, "audit log")
    await desk.by("admin-webhooks").click()
    await desk.page.get_by_label("URL").fill("https://receiver.example/vigil")
    await desk.by("submit").click()
    await expect(desk.by("webhook-secret")).to_be_visible()
    await reader.examine(desk, "webhooks")
    assert reader.problems == []


async def test_the_pages_of_the_server(
    page_node: Node, reader: Reader, account: Any, http: aiohttp.ClientSession, start_node: Any
) -> None:
    api = Api(page_node.url, http)
    email = await api.register(verify=False)
    token = await mailed(api, email, re.compile(r"verify-email\?token=(\S+)"))
    one = await reader.open("Laptop")
    bare = start_node(VIGIL_DEMO="off")
    for node, path in (
        (page_node, "/dev/outbox"),
        (page_node, f"/api/auth/verify-email?token={token}"),
        (page_node, "/api/auth/verify-email?token=none"),
        (page_node, "/api/auth/factors/undo?token=none"),
        (bare, "/?reset=token"),
        (bare, "/?email=token"),
        (bare, "/?notme=token"),
        (page_node, "/docs/api"),
        (page_node, "/docs/events"),
    ):
        await one.open(node, path)
        await expect(one.page.get_by_role("heading").first).to_be_visible()
        await reader.examine(one, path.partition("=")[0])
    assert reader.problems == []
