"""The limit on sessions as a client meets it; the last administrator; and a proof that is too old."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiohttp
from pymongo import MongoClient
from support.administration import first_administrator
from support.clients import PASSWORD, Api, Live, Login
from support.nodes import Installation, Node, ServiceUrls

from auth.core.clock import utc_now


async def test_asvs_7_1_2_the_oldest_device_ends_and_is_told(
    start_node: Callable[..., Node], http: aiohttp.ClientSession, connect: Callable[..., Awaitable[Live]]
) -> None:
    node = start_node(VIGIL_SESSION_LIMIT="2")
    api = Api(node.url, http)
    email = await api.register()
    first = await api.login(email)
    live = await connect(node, first.access_token)
    second = await api.login(email)
    third = await api.login(email)
    told = await live.wait("session-revoked")
    assert (told["reason"], told["by"]) == ("revoked", {"kind": "system"})
    await live.until_gone()
    assert (await first.call("GET", "/me")).code == "session_revoked"
    listed = (await third.call("GET", "/sessions")).data
    assert {session["sessionId"] for session in listed["sessions"]} == {second.session_id, third.session_id}


async def test_asvs_7_1_2_a_login_beyond_the_limit_is_refused_on_every_node(
    installation: Installation,
    start_node: Callable[..., Node],
    http: aiohttp.ClientSession,
    services: ServiceUrls,
) -> None:
    settings = {"VIGIL_SESSION_LIMIT": "3", "VIGIL_SESSION_LIMIT_POLICY": "refuse_new"}
    apis = [Api(start_node(**settings).url, http) for _ in range(2)]
    email = await apis[0].register()
    body = {"email": email, "password": PASSWORD}
    answers = await asyncio.gather(*(apis[n % 2].call("POST", "/login", body) for n in range(20)))
    good = [answer for answer in answers if answer.status == 200]
    assert len(good) == 3
    refused = [answer for answer in answers if answer.status != 200]
    assert {(answer.status, answer.code) for answer in refused} == {(403, "session_limit_reached")}
    with MongoClient[Any](services.mongo) as client:
        audited = list(
            client[installation.name]["audit_events"].find({"kind": {"$in": ["login", "login_failed"]}})
        )
    assert Counter((event["kind"], event["details"].get("reason")) for event in audited) == {
        ("login", None): 3,
        ("login_failed", "session_limit_reached"): 17,
    }
    one = Login(apis[1], good[0].data)
    assert (await one.call("GET", "/sessions")).data["count"] == 3
    # A refresh is no login.
    assert (await one.refresh()).status == 200
    await one.call("POST", "/logout")
    assert (await apis[0].call("POST", "/login", body)).status == 200


async def test_somebody_is_always_left_who_can_give_roles(
    installation: Installation, start_node: Callable[..., Node], http: aiohttp.ClientSession
) -> None:
    node = start_node()
    api = Api(node.url, http)
    email = await asyncio.to_thread(first_administrator, installation, node.url)
    ada = await api.login(email)
    mine = f"/admin/users/{ada.data['user']['userId']}"
    acts: list[tuple[str, str, Any]] = [("PUT", f"{mine}/roles", {"roles": []}), ("POST", f"{mine}/lock", {})]
    for method, path, body in acts:
        answer = await ada.call(method, path, body)
        assert (answer.status, answer.code) == (409, "conflict")
    assert (await ada.call("GET", "/admin/overview")).status == 200
    ben = await api.login(await api.register())
    yours = f"/admin/users/{ben.data['user']['userId']}"
    for _ in range(5):
        assert (await ada.call("PUT", f"{yours}/roles", {"roles": ["admin"]})).status == 200
        # Each takes the other's role in the same moment.
        answers = await asyncio.gather(
            ada.call("PUT", f"{yours}/roles", {"roles": []}), ben.call("PUT", f"{mine}/roles", {"roles": []})
        )
        assert {answer.status for answer in answers} <= {200, 403, 409}
        left = [login for login in (ada, ben) if (await login.call("GET", "/admin/overview")).status == 200]
        assert left
        if left == [ben]:
            ada, ben, mine, yours = ben, ada, yours, mine


async def test_asvs_7_5_3_who_proved_themselves_too_long_ago_has_to_do_it_again(
    installation: Installation,
    start_node: Callable[..., Node],
    http: aiohttp.ClientSession,
    services: ServiceUrls,
) -> None:
    """The sensitive acts of section 7: a stolen session alone administers nothing."""
    node = start_node()
    api = Api(node.url, http)
    email = await asyncio.to_thread(first_administrator, installation, node.url)
    ada, user = await api.login(email), await api.login(await api.register())
    with MongoClient[Any](services.mongo) as client:
        client[installation.name]["sessions"].update_one(
            {"_id": ada.session_id}, {"$set": {"loggedInAt": utc_now() - timedelta(minutes=11)}}
        )
    path = f"/admin/users/{user.data['user']['userId']}"
    acts: tuple[tuple[str, str, Any], ...] = (
        ("PUT", f"{path}/roles", {"roles": []}),
        ("POST", f"{path}/lock", {}),
        ("POST", f"{path}/unlock", {}),
        ("DELETE", f"{path}/factors", None),
    )
    for method, act, body in acts:
        answer = await ada.call(method, act, body)
        assert (answer.status, answer.code) == (401, "step_up_required")
        assert answer.body["methods"] == ["password"]
    assert (await ada.call("GET", path)).data["user"]["lockedAt"] is None
    assert (await ada.call("POST", "/step-up", {"method": "password", "password": PASSWORD})).status == 200
    assert (await ada.call(*acts[1])).status == 200
