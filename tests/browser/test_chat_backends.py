"""The demo's chat over the example backends: Vigil posts its events to a server in another language."""

from typing import Any

import pytest
from playwright.async_api import expect
from support.application_backend import url_settings
from support.backends import create_key
from support.browsers import PHONE
from support.chat_backends import chat_backend
from support.nodes import Installation
from support.ports import free_ports


@pytest.mark.parametrize("example", ["express", "fastapi"])
async def test_two_people_chat_over_an_example_and_see_who_comes_and_goes(
    example: str, demo: Any, installation: Installation, device: Any, account: Any
) -> None:
    (port,) = free_ports(1)
    node = demo(**url_settings(port))
    with chat_backend(example, port, vigil_url=node.url, key=create_key(installation, "users")):
        ada, ben = await device("Laptop"), await device("Phone", viewport=PHONE)
        await ada.login(node, await account(node))
        await ada.say("Is anybody here?")
        await expect(ada.by("chat-text")).to_have_text(["Is anybody here?"])
        await ben.login(node, await account(node, "Ben"))
        await ben.say("I am")
        await expect(ben.by("chat-text")).to_have_text(["Is anybody here?", "I am"])
        await expect(ada.by("chat-text")).to_have_text(["Is anybody here?", "I am"])
        await expect(ada.by("chat-members")).to_contain_text("Ada")
        await ben.page.close()
        await expect(ada.by("chat-members")).not_to_contain_text("Ada", timeout=30_000)
        await ada.page.reload()
        await ada.is_live()
        await expect(ada.by("chat-text")).to_have_text(["Is anybody here?", "I am"])
