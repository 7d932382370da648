"""The people in the demo's chat room: the states that they choose, and who is typing."""

from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect
from support.application_backend import url_settings
from support.backends import create_key
from support.browsers import PHONE
from support.chat_backends import chat_backend
from support.clients import Api
from support.nodes import Installation, Node
from support.ports import free_ports


async def named(name: str, node: Node, http: aiohttp.ClientSession) -> str:
    api = Api(node.url, http)
    email = await api.register()
    assert (await (await api.login(email)).call("PATCH", "/me", {"name": name})).status == 200
    return email


async def see_each_other(node: Node, device: Any, http: aiohttp.ClientSession) -> None:
    ada, ben = await device("Laptop"), await device("Phone", viewport=PHONE, dark=True)
    await ada.login(node, await named("Ada", node, http))
    ben_mail = await named("Ben", node, http)
    await ben.login(node, ben_mail)
    await ben.by("pane-chat").click()
    seen = ada.by("chat-members").get_by_role("listitem").filter(has_text="Ben")
    await expect(seen).to_have_attribute("data-state", "online")

    await ben.by("own-state").select_option("busy")
    await expect(seen).to_have_attribute("data-state", "busy")
    await ben.by("own-state-text").fill("in a meeting")
    await ben.by("own-state-text").press("Enter")
    await expect(seen).to_contain_text("in a meeting")
    await ada.picture("10-people")
    await ben.picture("10-people-phone")

    await ben.by("chat-input").press_sequentially("See you")
    await expect(ada.by("chat-typing")).to_have_text("Ben is typing…")
    await ben.by("chat-send").click()
    # The room is everybody's: others may have spoken before.
    await expect(ada.by("chat-text").last).to_have_text("See you")
    await expect(ada.by("chat-typing")).to_have_text("")

    tablet = await device("Tablet", viewport=PHONE)
    await tablet.login(node, ben_mail)
    await tablet.by("pane-chat").click()
    await expect(tablet.by("own-state")).to_have_value("busy")
    await tablet.by("own-state").select_option("away")
    await expect(ben.by("own-state")).to_have_value("away")
    await expect(ben.by("own-state-text")).to_have_value("in a meeting")

    await ben.by("own-state").select_option("invisible")
    await expect(tablet.by("own-state")).to_have_value("invisible")
    await expect(seen).to_have_attribute("data-state", "offline")
    # What was chosen is there after a reload.
    await ben.page.reload()
    await ben.is_live()
    await expect(ben.by("own-state")).to_have_value("invisible")
    await expect(ben.by("own-state-text")).to_have_value("in a meeting")


async def test_people_see_each_others_state_and_who_is_typing(
    demo: Any, device: Any, http: aiohttp.ClientSession
) -> None:
    await see_each_other(demo(), device, http)


@pytest.mark.parametrize("example", ["express", "fastapi"])
async def test_so_they_do_over_an_example_backend(
    example: str, demo: Any, installation: Installation, device: Any, http: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    node = demo(**url_settings(port))
    with chat_backend(example, port, vigil_url=node.url, key=create_key(installation, "users")):
        await see_each_other(node, device, http)
