"""A refresh token used twice: somebody has a copy. Who is ended, who is told, what is written down."""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import Api, Live, Login
from support.nodes import Installation, Node, ServiceUrls
from support.waiting import eventually

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
SYSTEM = {"kind": "system"}


@pytest.fixture(scope="module")
def theft_installation(services: ServiceUrls) -> Installation:
    return Installation(services)


@pytest.fixture(scope="module")
def strict_and_lenient(theft_installation: Installation) -> Iterator[tuple[Node, Node]]:
    """Two nodes of one installation: a theft that the first sees ends all, the second only the family."""
    with ThreadPoolExecutor(2) as starters:
        nodes = list(
            starters.map(lambda policy: theft_installation.start(VIGIL_REUSE_POLICY=policy), ["all", "family"])
        )
    yield nodes[0], nodes[1]
    assert [node.stop() for node in nodes] == [0, 0]
    with MongoClient(theft_installation.services.mongo) as client:
        client.drop_database(theft_installation.name)


async def stolen(login: Login) -> str:
    """Its owner refreshes on; the thief keeps a copy of the first token."""
    copy = login.refresh_token
    assert (await login.refresh()).data["outcome"] == "rotated"
    assert (await login.refresh()).data["outcome"] == "rotated"
    return copy


async def written_down(installation: Installation, user_id: str, kind: str) -> list[dict[str, Any]]:
    with MongoClient(installation.services.mongo) as client:
        events = client[installation.name]["audit_events"]
        return list(events.find({"userId": user_id, "kind": kind}))


async def mailed(api: Api, email: str) -> Any:
    async def theft_mail() -> Any:
        outbox = await api.call("GET", "/dev/outbox.json")
        mine = [mail for mail in outbox.body["messages"] if mail["to"] == email]
        return next((mail for mail in mine if "verify-email" not in mail["text"]), None)

    return await eventually(theft_mail, "the owner gets a mail", timeout=10)


async def test_by_default_it_ends_every_session_of_the_user_on_every_node(
    strict_and_lenient: tuple[Node, Node], theft_installation: Installation, on: On, connect: Connect
) -> None:
    strict, lenient = strict_and_lenient
    email = await on(strict).register()
    phone, laptop, tablet = [await on(strict).login(email) for _ in range(3)]
    stranger = await on(strict).login(await on(strict).register())
    untouched = await connect(lenient, stranger.access_token)
    lives = [
        await connect(node, login.access_token)
        for node, login in ((strict, phone), (lenient, phone), (strict, laptop), (lenient, tablet))
    ]
    copy = await stolen(phone)
    refusal = await on(strict).call("POST", "/refresh", {"refreshToken": copy})
    assert (refusal.status, refusal.code) == (401, "refresh_reused")
    for live in lives:
        told = await live.wait("session-revoked")
        assert (told["reason"], told["by"]) == ("refresh_reused", SYSTEM)
        await live.until_gone()
    for login in (phone, laptop, tablet):
        assert (await login.call("GET", "/me")).code == "session_revoked"
        assert (await login.refresh()).code == "session_revoked"
    assert not untouched.gone.is_set()
    user_id = phone.data["user"]["userId"]
    assert len(await written_down(theft_installation, user_id, "refresh_reused")) == 1
    ended = await written_down(theft_installation, user_id, "session_revoked")
    assert {event["sessionId"] for event in ended} == {login.session_id for login in (phone, laptop, tablet)}
    assert {event["details"]["reason"] for event in ended} == {"refresh_reused"}
    assert await mailed(on(strict), email)
    # The thief tries again: refused, and nobody is alarmed a second time.
    assert (await on(lenient).call("POST", "/refresh", {"refreshToken": copy})).code == "session_revoked"
    assert len(await written_down(theft_installation, user_id, "refresh_reused")) == 1


async def test_under_family_it_ends_its_own_session_and_alerts_the_others(
    strict_and_lenient: tuple[Node, Node], theft_installation: Installation, on: On, connect: Connect
) -> None:
    strict, lenient = strict_and_lenient
    email = await on(lenient).register()
    phone, laptop = [await on(lenient).login(email) for _ in range(2)]
    ended = [await connect(node, phone.access_token) for node in (strict, lenient)]
    survivors = [await connect(node, laptop.access_token) for node in (strict, lenient)]
    refusal = await on(lenient).call("POST", "/refresh", {"refreshToken": await stolen(phone)})
    assert refusal.code == "refresh_reused"
    for live in ended:
        assert (await live.wait("session-revoked"))["reason"] == "refresh_reused"
        await live.until_gone()
    for live in survivors:
        alert = await live.wait("security-alert", lambda e: e["kind"] == "refresh_reused")
        assert alert["session"]["sessionId"] == phone.session_id
        removed = await live.wait("sessions-changed", lambda e: e["change"] == "removed")
        assert removed["session"]["sessionId"] == phone.session_id
        assert not live.gone.is_set()
    assert (await laptop.call("GET", "/me")).status == 200
    assert (await laptop.refresh()).data["outcome"] == "rotated"
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    user_id = phone.data["user"]["userId"]
    assert len(await written_down(theft_installation, user_id, "refresh_reused")) == 1
    assert await mailed(on(lenient), email)
