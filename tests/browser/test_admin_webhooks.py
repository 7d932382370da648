"""The administrators' page of webhooks, with a receiver that is a process of its own."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from support.administration import grant
from support.browsers import PHONE, Device
from support.clients import Api
from support.nodes import Installation, mongo_client
from support.receiver import Received, Receiver, receiver
from support.waiting import eventually

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
PATH = "/vigil"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Receiver]:
    """A process that receives webhooks."""
    with receiver(tmp_path) as started:
        yield started


async def open_webhooks(one: Device) -> None:
    await one.by("admin").click()
    await one.by("admin-webhooks").click()


async def create(one: Device, url: str, facts: str) -> None:
    await one.page.get_by_label("URL").fill(url)
    await one.page.get_by_label("Facts").fill(facts)
    await one.by("submit").click()


async def secret_of(one: Device) -> str:
    await expect(one.by("webhook-secret")).to_have_text(SECRET)
    return await one.by("webhook-secret").inner_text()


async def comes_to_show(one: Device, text: str) -> None:
    """Read the list anew, by another view and back, until it shows a text."""

    async def shows() -> bool:
        await one.by("admin-people").click()
        await one.by("admin-webhooks").click()
        await expect(one.page.get_by_label("Webhooks", exact=True)).to_have_attribute("aria-busy", "false")
        return text in await one.by("admin-view").inner_text()

    await eventually(shows, text, timeout=60, every=0.2)


def is_signed(request: Received, secret: str) -> bool:
    """Whether a request has a signature with this secret."""
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_an_administrator_sees_what_a_receiver_refused_and_sends_it_again(
    installation: Installation,
    demo: Any,
    account: Any,
    device: Any,
    endpoint: Receiver,
    http: aiohttp.ClientSession,
) -> None:
    node = demo()
    boss = await account(node, "Boss")
    grant(installation, boss, "admin")
    desk, phone = await device("Desk"), await device("Phone", viewport=PHONE, dark=True)
    await desk.login(node, boss)
    await open_webhooks(desk)
    await expect(desk.by("admin-view")).to_contain_text("No webhooks.")
    await create(desk, "ftp://receiver.example", "")
    await expect(desk.by("url-note")).to_contain_text("https://")

    endpoint.answer(500)
    await create(desk, endpoint.url + PATH, "session.ended, user.deleted")
    await expect(desk.by("webhook")).to_contain_text("session.ended, user.deleted")
    secret = await secret_of(desk)
    await expect(desk.page.get_by_label("URL")).to_have_value("")
    await desk.picture("66-webhook-created")
    await (await Api(node.url, http).login(boss)).call("POST", "/logout")
    await comes_to_show(desk, "1 waiting, 0 given up")
    await comes_to_show(desk, "in a row: answered 500")
    await expect(desk.by("webhook-secret")).to_have_count(0)

    # As it is some days later.
    deliveries = mongo_client(installation.services.mongo)[installation.name]["webhook_deliveries"]
    deliveries.update_many({}, {"$set": {"storedAt": datetime.now(UTC) - timedelta(days=4)}})
    await desk.by("webhook-again").click()
    await expect(desk.by("webhook-result")).to_have_text("Sending 1 fact again.")
    await comes_to_show(desk, "0 waiting, 1 given up")
    await phone.login(node, boss)
    await open_webhooks(phone)
    await expect(phone.by("webhook")).to_contain_text("1 given up")
    for one in (desk, phone):
        await one.picture(f"66-webhook-refused-{one.name.lower()}")
    endpoint.answer(204)
    await phone.by("webhook-again").click()
    await comes_to_show(phone, "last accepted")
    await expect(phone.by("webhook-waiting")).to_have_count(0)
    accepted = endpoint.received(PATH)[-1]
    assert (accepted.status, accepted.fact["type"]) == (204, "session.ended")
    assert is_signed(accepted, secret)


async def test_an_administrator_replaces_a_secret_and_removes_a_webhook(
    installation: Installation, demo: Any, account: Any, device: Any, endpoint: Receiver
) -> None:
    node = demo()
    boss = await account(node, "Boss")
    grant(installation, boss, "admin")
    phone = await device("Phone", viewport=PHONE, dark=True)
    await phone.login(node, boss)
    await open_webhooks(phone)
    await create(phone, endpoint.url + PATH, "")
    first = await secret_of(phone)
    await phone.by("webhook-secret-new").click()
    await expect(phone.by("webhook-result")).to_contain_text("Both this secret and the one before it")
    await expect(phone.by("webhook-secret")).not_to_have_text(first)
    second = await secret_of(phone)
    await phone.picture("67-webhook-secret-phone")
    await account(node, "Grace")

    async def came() -> bool:
        return any(is_signed(each, first) and is_signed(each, second) for each in endpoint.received(PATH))

    await eventually(came, "a fact that is signed with both secrets", timeout=60)

    await phone.by("webhook-remove").click()
    await expect(phone.by("confirm")).to_contain_text(endpoint.url)
    await phone.picture("67-webhook-remove-phone")
    await phone.by("confirm-no").click()
    await expect(phone.by("webhook")).to_have_count(1)
    await phone.by("webhook-remove").click()
    await phone.by("confirm-yes").click()
    await expect(phone.by("webhook-result")).to_have_text("Removed.")
    await expect(phone.by("admin-view")).to_contain_text("No webhooks.")
