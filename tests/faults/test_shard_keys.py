"""With the shard key `userId`, what users do often asks one shard, by the filters that MongoDB got."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from support.authenticator import Authenticator
from support.clients import PASSWORD, Api, Live
from support.mailbox import mailed
from support.nodes import Installation, Node
from support.waiting import eventually

from auth.stores.change_feed import COMMENT

Connect = Callable[..., Awaitable[Live]]


@pytest.fixture
def node(installed: Installation, database: Any) -> Iterator[Node]:
    started = installed.start()
    database.command("profile", 2)
    yield started
    database.command("profile", 0)
    assert started.stop() == 0


def filters(database: Any) -> list[dict[str, Any]]:
    """The filters of all commands on `sessions`, without the searches of background work for what is due, and
    the reads of changed sessions, which name users on a sharded collection only (auth/stores/change_feed.py).
    """
    found = []
    for entry in database["system.profile"].find({"ns": f"{database.name}.sessions", "op": {"$ne": "insert"}}):
        command = entry["command"]
        asked = command.get("filter") or command.get("query") or command.get("q")
        if asked is None or command.get("comment") == COMMENT:
            continue
        if not {"unpublishedSince", "expiresAt", "hooksDueAt"} >= asked.keys() - {"revokedAt", "expiredAt"}:
            found.append(asked)
    return found


def names_users(asked: dict[str, Any]) -> bool:
    """Whether a filter has the users' ids, in each of its alternatives."""
    if "$or" in asked:
        return all(names_users(each) for each in asked["$or"])
    return isinstance(asked.get("userId"), str) or set(asked.get("userId", ())) == {"$in"}


async def test_refresh_confirm_list_and_revoke_name_their_user(
    node: Node, database: Any, http: aiohttp.ClientSession, connect: Connect
) -> None:
    api = Api(node.url, http)
    email = await api.register()
    laptop, phone, tablet = [await api.login(email) for _ in range(3)]
    used = laptop.refresh_token
    # Together, and so in one command; then one alone, the first token again, and the confirmation by a use.
    assert [each.status for each in await asyncio.gather(laptop.refresh(), phone.refresh())] == [200, 200]
    again = await api.call("POST", "/refresh", {"refreshToken": used})
    assert again.data["outcome"] in {"concurrent", "replayed"}
    assert (await laptop.call("GET", "/me")).status == 200
    live = await connect(node, laptop.access_token)
    assert len((await laptop.call("GET", "/sessions")).data["sessions"]) == 3
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    assert (await phone.refresh()).code == "session_revoked"
    assert (await tablet.call("POST", "/logout-all")).status == 200
    await live.until_gone()

    async def announced() -> bool:
        return database["sessions"].count_documents({"unpublished": {"$nin": [None, []]}}) == 0

    await eventually(announced, "every end is announced", timeout=30)
    asked = filters(database)
    assert len(asked) >= 10
    assert [each for each in asked if not names_users(each)] == []


async def test_a_second_factor_an_approval_a_new_name_and_an_alert_name_their_user(
    node: Node, database: Any, http: aiohttp.ClientSession, connect: Connect
) -> None:
    api = Api(node.url, http)
    email = await api.register()
    laptop = await api.login(email)
    app = Authenticator((await laptop.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await laptop.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    assert (await laptop.call("POST", "/step-up", {"method": "totp", "code": await app.code()})).status == 200
    live = await connect(node, laptop.access_token)
    phone = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Safari/604.1"}
    begun = await api.call("POST", "/login", {"email": email, "password": PASSWORD}, headers=phone)
    waiting = {"mfaToken": begun.data["mfaToken"]}
    shown = (await api.call("POST", "/approvals", waiting, headers=phone)).data
    request = await live.wait("login-approval-requested")
    answer = {"approvalId": request["approvalId"], "number": shown["number"]}
    assert (await live.ask("login-approval-answer", answer))["ok"]
    proof = {**waiting, "method": "approval"}
    assert (await api.call("POST", "/2fa/verify", proof, headers=phone)).status == 200
    renamed = await laptop.call("PATCH", f"/sessions/{laptop.session_id}", {"deviceName": "desk"})
    assert renamed.status == 200
    link = re.compile(r"\?notme=([A-Za-z0-9_-]+)")
    reported = await api.call("POST", "/alerts/not-me", {"token": await mailed(api, email, link)})
    assert reported.data["revoked"] == 1
    asked = filters(database)
    assert len(asked) >= 10
    assert [each for each in asked if not names_users(each)] == []
