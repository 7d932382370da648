"""Providers as a person uses them: by the buttons of the page, and back on the page.

The page of this machine has two names; a provider knows one of them. Whichever somebody came by, they end there.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import expect
from support.authenticator import Authenticator
from support.browsers import PHONE, Device
from support.nodes import Node
from support.provider_visits import sign_in, who

# The node's names. Each way back is tested with both, what happens on the page with one.
BOTH = pytest.mark.parametrize("node", ["127.0.0.1", "localhost"], indirect=True)


@pytest.fixture
def node(provided: Node, request: pytest.FixtureRequest) -> Node:
    """The node under the name of the parameter."""
    return replace(provided, url=provided.url.replace("127.0.0.1", getattr(request, "param", "localhost")))


async def log_in_there(one: Device, node: Node, name: str) -> None:
    """By the button, through the provider's pages, to the page that is live."""
    await one.open(node)
    await one.page.get_by_role("link", name="Log in with Harbour").click()
    await sign_in(one.page, name)
    busy = one.by("notice").filter(has_text="The provider is not responding")
    await expect(one.by("connection-state").or_(busy)).to_be_visible()
    if await busy.count():
        # On a busy machine it can take longer than the server waits.
        await one.page.get_by_role("link", name="Log in with Harbour").click()
    await one.is_live()


@BOTH
async def test_the_button_leads_to_the_provider_and_back_logged_in(node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await laptop.open(node)
    await laptop.by("provider-npm").wait_for()
    await laptop.picture("30-entrance-with-provider")
    name = who()
    await log_in_there(laptop, node, name)
    assert laptop.page.url == f"{node.url}/"
    await expect(laptop.by("user-name")).to_have_attribute("title", f"{name}@example.org")
    await laptop.page.reload()
    await laptop.is_live()

    await laptop.by("logout").click()
    await laptop.by("provider-npm").click()
    await laptop.is_live()
    await expect(laptop.by("user-name")).to_have_attribute("title", f"{name}@example.org")


@BOTH
async def test_a_login_that_began_on_a_deep_link_returns_to_it(node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await laptop.open(node, "/#account")
    await laptop.by("provider-npm").click()
    await sign_in(laptop.page, who())
    await expect(laptop.page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    assert laptop.page.url == f"{node.url}/#account"


@BOTH
async def test_it_is_linked_and_unlinked_on_the_account_page(
    node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE)
    email, name = await account(node), who()
    await laptop.login(node, email)
    await laptop.by("account").click()
    await laptop.by("link-npm").click()
    await sign_in(laptop.page, name)
    await expect(laptop.by("account-notice")).to_contain_text("Linked")
    assert laptop.page.url == f"{node.url}/#account"
    await expect(laptop.by("identity")).to_contain_text(f"{name}@example.org")
    await expect(laptop.by("user-name")).to_have_attribute("title", email)
    await expect(laptop.by("link-npm")).to_have_count(0)
    await laptop.by("setting-identities").scroll_into_view_if_needed()
    await laptop.picture("31-linked-login")

    await log_in_there(phone, node, name)
    await expect(phone.by("user-name")).to_have_attribute("title", email)
    await phone.by("account").click()
    await expect(phone.by("identity")).to_be_visible()
    await phone.picture("34-account-phone")

    await laptop.by("unlink").click()
    await expect(laptop.by("identities-result")).to_contain_text("Unlinked")
    await expect(laptop.by("identity")).to_have_count(0)
    await expect(laptop.by("link-npm")).to_be_visible()


async def test_the_last_way_in_cannot_be_unlinked(node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await log_in_there(laptop, node, who())
    await laptop.by("account").click()
    await laptop.by("unlink").click()
    await expect(laptop.by("identities-result")).to_have_class(re.compile("is-error"))
    await expect(laptop.by("identity")).to_have_count(1)


async def test_who_turns_back_reads_so_on_the_page(node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await laptop.open(node)
    await laptop.by("provider-npm").click()
    await laptop.page.get_by_role("link", name="Cancel").click()
    await expect(laptop.by("notice")).to_contain_text("You cancelled")
    assert laptop.page.url == f"{node.url}/"


async def test_a_second_factor_is_asked_for_after_the_provider(node: Node, device: Callable[..., Any]) -> None:
    laptop = await device("Laptop")
    await log_in_there(laptop, node, who())
    await laptop.by("account").click()
    await laptop.by("setup-totp").click()
    app = Authenticator((await laptop.by("totp-secret").inner_text()).replace(" ", ""))
    await laptop.by("setting-two-step").get_by_label("Code").fill(await app.code())
    await laptop.by("setting-two-step").get_by_test_id("submit").click()
    await laptop.by("codes-kept").click()
    await laptop.by("logout").click()
    await laptop.by("provider-npm").click()
    await laptop.page.get_by_label("Code", exact=True).fill(await app.code())
    await laptop.by("submit").click()
    await laptop.is_live()
    assert laptop.page.url == f"{node.url}/"

    await laptop.by("logout").click()
    await expect(laptop.by("provider-npm")).to_be_visible()
    await laptop.open(node, "/#security")
    await laptop.by("provider-npm").click()
    await laptop.page.get_by_label("Code", exact=True).fill(await app.code())
    await laptop.by("submit").click()
    await laptop.is_live()
    assert laptop.page.url == f"{node.url}/#security"
