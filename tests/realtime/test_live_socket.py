"""The live socket as a chat client meets it, on one node and across two."""

import asyncio
from typing import Any

import aiohttp
from support.clients import Api
from support.nodes import Node


async def test_a_socket_is_greeted_first_with_who_it_is(api: Api, node: Node, connect: Any) -> None:
    login = await api.login(await api.register())
    live = await connect(node, login.access_token)
    assert live.heard[0][0] == "ready"
    ready = live.ready
    assert ready["protocol"] == 1
    assert ready["sessionId"] == login.session_id
    assert ready["userId"] == login.data["user"]["userId"]
    assert ready["graceMs"] == 30_000
    assert ready["recovered"] is False
    assert ready["accessTokenExpiresAt"] == login.data["accessTokenExpiresAt"]


async def test_a_device_sees_another_log_in_come_online_and_be_ended(
    api: Api, shared_nodes: Any, connect: Any, http: aiohttp.ClientSession
) -> None:
    first, second = shared_nodes
    email = await api.register()
    laptop = await api.login(email, device="Laptop")
    seeing = await connect(first, laptop.access_token)
    phone = await Api(second.url, http).login(email, device="Phone")
    created = await seeing.wait("sessions-changed", lambda e: e["change"] == "created")
    assert created["session"]["sessionId"] == phone.session_id
    assert created["session"]["isCurrent"] is False
    ended = await connect(second, phone.access_token)
    online = await seeing.wait("device-status", lambda e: e["sessionId"] == phone.session_id)
    assert online["online"] is True
    ack = await seeing.ask("session-revoke", {"sessionId": phone.session_id})
    assert ack == {
        "ok": True,
        "delivery": {"sockets": 1, "notified": 1, "acknowledged": 1, "closed": 1, "pending": 0},
    }
    revoked = await ended.wait("session-revoked")
    assert revoked["reason"] == "revoked"
    assert revoked["by"] == {"kind": "user", "sessionId": laptop.session_id}
    await ended.until_gone(timeout=30)
    removed = await seeing.wait("sessions-changed", lambda e: e["change"] == "removed")
    assert removed["version"] == created["version"] + 1
    assert (await phone.call("GET", "/me")).code == "session_revoked"


async def test_reauthenticating_keeps_the_socket(api: Api, node: Node, connect: Any) -> None:
    login = await api.login(await api.register())
    live = await connect(node, login.access_token)
    await login.refresh()
    ack = await live.ask("reauthenticate", {"token": login.access_token})
    assert ack == {"ok": True, "accessTokenExpiresAt": login.data["accessTokenExpiresAt"]}
    assert len(live.all("ready")) == 1
    await asyncio.sleep(0.1)
    assert not live.gone.is_set()
