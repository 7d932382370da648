"""Connections that the application's backend closes while the session lives on."""

from typing import Any

import aiohttp
from playwright.async_api import expect
from support.backends import Backend, create_key
from support.browsers import PHONE, Device
from support.nodes import Installation

REASON = "The plan of this account has ended."


async def test_the_page_says_why_it_was_closed_and_connects_again_when_asked(
    demo: Any, installation: Installation, account: Any, device: Any, http: aiohttp.ClientSession
) -> None:
    node = demo()
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE, dark=True)
    backend = Backend(node.url, create_key(installation, "sessions"), http)

    async def close(one: Device, *, retryable: bool) -> str:
        """Close its connection, which is confirmed; return the id of the socket that is gone."""
        socket_id = await one.socket_id()
        body = {"socketId": socket_id, "reason": REASON, "retryable": retryable}
        closed = await backend.call("POST", "/disconnect", body)
        assert (closed.status, closed.data["delivery"]["acknowledged"]) == (200, 1)
        return socket_id

    for one in (laptop, phone):
        await one.login(node, email)
        gone = await close(one, retryable=False)
        await expect(one.by("closed-banner")).to_contain_text(f"The service closed this connection: “{REASON}”")
        await expect(one.by("connection-state")).to_contain_text("Closed")
        await expect(one.by("socket-id")).to_have_text("none")
        await one.picture(f"65-closed-{one.name.lower()}")
        await one.by("reconnect").click()
        await one.is_live()
        await expect(one.by("closed-banner")).to_have_count(0)
        await expect(one.by("socket-id")).not_to_have_text(gone)
    await laptop.say("here again")
    await expect(phone.by("chat-text").last).to_have_text("here again")

    gone = await close(laptop, retryable=True)
    await expect(laptop.by("socket-id")).not_to_have_text(gone)
    await laptop.is_live()
    await expect(laptop.by("closed-banner")).to_have_count(0)
