"""A refresh token used twice: somebody has a copy. Who is ended, who is told, what is written down."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from support.clients import Api, Live, Login
from support.nodes import Installation, Node, ServiceUrls
from support.raw_socket import RawSocket
from support.waiting import eventually

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
SYSTEM = {"kind": "system"}
# Short, so that what waited for longer need not wait for long.
LEEWAY = 2


@pytest.fixture(scope="module")
def theft_installation(services: ServiceUrls) -> Installation:
    return Installation(services)


@pytest.fixture(scope="module")
def strict_and_lenient(theft_installation: Installation) -> Iterator[tuple[Node, Node]]:
    """Two nodes of one installation: a theft that the first sees ends all, the second only the family."""
    with ThreadPoolExecutor(2) as starters:
        nodes = list(
            starters.map(
                lambda policy: theft_installation.start(
                    VIGIL_REUSE_POLICY=policy, VIGIL_REUSE_LEEWAY_SECONDS=str(LEEWAY)
                ),
                ["all", "family"],
            )
        )
    yield nodes[0], nodes[1]
    assert [node.stop() for node in nodes] == [0, 0]
    with MongoClient[Any](theft_installation.services.mongo) as client:
        client.drop_database(theft_installation.name)


async def stolen(login: Login) -> str:
    """Its owner refreshes on; the thief keeps a copy of the first token."""
    copy = login.refresh_token
    assert (await login.refresh()).data["outcome"] == "rotated"
    assert (await login.refresh()).data["outcome"] == "rotated"
    return copy


async def written_down(installation: Installation, user_id: str, kind: str) -> list[dict[str, Any]]:
    with MongoClient[Any](installation.services.mongo) as client:
        events = client[installation.name]["audit_events"]
        return list(events.find({"userId": user_id, "kind": kind}))


async def mailed(api: Api, email: str) -> Any:
    async def theft_mail() -> Any:
        outbox = await api.call("GET", "/dev/outbox.json")
        mine = [mail for mail in outbox.body["messages"] if mail["to"] == email]
        return next((mail for mail in mine if "verify-email" not in mail["text"]), None)

    return await eventually(theft_mail, "the owner gets a mail", timeout=30)


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


@dataclass
class Held:
    """A refresh in the hands of a frozen node; its client repeats it elsewhere, is answered, and goes on."""

    login: Login
    first: bytes
    rest: bytes
    by_cookies: bool
    hangs_up: bool
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def begin(cls, node: Node, login: Login, *, split: int, by_cookies: bool, hangs_up: bool) -> "Held":
        """Connect, and send what comes before the freeze: the bytes before `split`."""
        where = urlsplit(node.url)
        assert where.hostname is not None
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        whole = transparent(login) if by_cookies else by_body(login)
        held = cls(login, whole[:split], whole[split:], by_cookies, hangs_up, reader, writer)
        writer.write(held.first)
        await writer.drain()
        return held

    async def go_on_elsewhere(self, api: Api) -> None:
        """Send the rest into the frozen node; give up; repeat, and use what came of it."""
        self.writer.write(self.rest)
        await self.writer.drain()
        if self.hangs_up:
            self.writer.close()
        api.cookies = {name: value for name, value in self.login.api.cookies.items() if "access" not in name}
        self.login.api = api
        if self.by_cookies:
            assert (await api.call("GET", "/me")).status == 200
        else:
            assert (await self.login.refresh()).data["outcome"] == "rotated"
        assert (await self.login.call("GET", "/me")).status == 200

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def answer(self) -> str:
        """The status line and headers that a client that has stayed is answered with."""
        async with asyncio.timeout(10):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()


def by_body(login: Login) -> bytes:
    body = json.dumps({"refreshToken": login.refresh_token})
    headers = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST /api/auth/refresh HTTP/1.1\r\n{headers}\r\n\r\n{body}".encode()


def transparent(login: Login) -> bytes:
    """Any request with an expired access cookie, which browsers leave out."""
    cookies = "; ".join(f"{name}={value}" for name, value in login.api.cookies.items() if "access" not in name)
    return f"GET /api/auth/me HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n".encode()


async def test_a_node_that_was_frozen_answers_what_it_held_with_unavailable_and_logs_nobody_out(
    strict_and_lenient: tuple[Node, Node], theft_installation: Installation, on: On
) -> None:
    frozen, other = strict_and_lenient

    async def log_in(delivery: str = "body") -> Login:
        api = on(frozen)
        return await api.login(await api.register(), delivery=delivery)

    held = [
        await Held.begin(
            frozen,
            await log_in("cookies" if by_cookies else "body"),
            split=split,
            by_cookies=by_cookies,
            hangs_up=gone,
        )
        # Nothing sent before the freeze, or all but the last bytes.
        for split in (0, -7)
        for by_cookies in (False, True)
        for gone in (False, True)
    ]
    on_socket = await log_in()
    async with AsyncExitStack() as open_until_the_end:
        for each in held:
            open_until_the_end.push_async_callback(each.close)
        raw = await open_until_the_end.enter_async_context(RawSocket.open(frozen.url))
        await raw.connect({"token": on_socket.access_token})
        frozen.freeze()
        open_until_the_end.callback(frozen.thaw)
        number = await raw.emit("refresh", {"refreshToken": on_socket.refresh_token})
        for each in held:
            await each.go_on_elsewhere(on(other))
        on_socket.api = on(other)
        assert (await on_socket.refresh()).data["outcome"] == "rotated"
        assert (await on_socket.call("GET", "/me")).status == 200
        # The leeway must be over, or the old token is a racing tab's.
        await asyncio.sleep(LEEWAY + 0.5)
        frozen.thaw()
        for each in held:
            if not each.hangs_up:
                answer = await each.answer()
                assert answer.startswith("HTTP/1.1 503 "), answer
                assert "retry-after: " in answer.lower()
        ack = (await raw.wait_for("3", number)).data[0]
        assert (ack["ok"], ack["code"]) == (False, "unavailable")
        assert ack["retryAfterMs"] > 0
    # Soon it serves again whatever it is asked.
    login = await log_in()

    async def serves() -> bool:
        return (await login.refresh()).status == 200

    await eventually(serves, "the node has settled", timeout=30)
    for login in [each.login for each in held if not each.by_cookies] + [on_socket]:
        assert (await login.refresh()).data["outcome"] == "rotated"
    for each in held:
        assert (await each.login.call("GET", "/me")).status == 200
        user_id = each.login.data["user"]["userId"]
        assert await written_down(theft_installation, user_id, "session_revoked") == []


async def test_whoever_hangs_up_before_the_answer_is_not_taken_for_a_thief(
    strict_and_lenient: tuple[Node, Node], on: On
) -> None:
    """A page that is reloaded, a phone that lost its network: what they sent may arrive long after."""
    node, _ = strict_and_lenient
    login = await on(node).login(await on(node).register())
    copy = Login(login.api, {"refreshToken": await stolen(login)})

    async def given_up() -> float:
        async with login.api.http.get(node.url + "/metrics") as answer:
            found = re.search(r'vigil_refreshes_total\{outcome="unavailable"\} (\S+)', await answer.text())
        return float(found[1]) if found else 0.0

    before = await given_up()
    held = await Held.begin(node, copy, split=-1, by_cookies=False, hangs_up=True)
    held.writer.write(held.rest)
    await held.close()

    async def is_given_up() -> bool:
        return await given_up() > before

    await eventually(is_given_up, "the request is given up", timeout=30)
    assert (await login.refresh()).data["outcome"] == "rotated"
    refusal = await on(node).call("POST", "/refresh", {"refreshToken": copy.refresh_token})
    assert refusal.code == "refresh_reused", "whoever waits for the answer gets it"
