"""A refresh token that comes again, where one of its holders is on a live socket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.clients import Api, Live, Login
from support.nodes import Node
from support.raw_socket import RawSocket
from support.session_world import FIREFOX
from support.waiting import eventually

LogIn = Callable[..., Awaitable[Login]]
Connect = Callable[..., Awaitable[Live]]
ELSEWHERE = {"User-Agent": FIREFOX}


async def outcome(login: Login, token: str, **headers: str) -> str:
    """What becomes of a refresh token over HTTP."""
    answer = await login.api.call("POST", "/refresh", {"refreshToken": token}, headers=headers)
    return str(answer.data["outcome"] if answer.status == 200 else answer.code)


class Silent:
    """A socket whose client reads what comes and answers no ping unless it is told to."""

    def __init__(self, raw: RawSocket) -> None:
        self.raw = raw

    async def frame(self) -> str:
        async with asyncio.timeout(10):
            return str((await self.raw.ws.receive()).data)

    async def until(self, start: str) -> str:
        while not (frame := await self.frame()).startswith(start):
            assert frame != "2", f"a ping before {start}"
        return frame


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_pong_behind_the_ack_shows_that_a_pair_arrived(
    node: Node, log_in: LogIn, connect: Connect, transport: str
) -> None:
    """Within the leeway the owner's token is a racing tab's then, and no lost answer's; after it, theft."""
    thief = await log_in(node)
    stolen = thief.refresh_token
    live = await connect(node, thief.access_token, transports=(transport,))
    assert (await live.ask("refresh", {"refreshToken": stolen}))["outcome"] == "rotated"

    async def is_confirmed() -> bool:
        return await outcome(thief, stolen) == "concurrent"

    await eventually(is_confirmed, "the pair is confirmed", timeout=30)


async def test_a_client_that_dies_before_its_ack_loses_nothing(node: Node, log_in: LogIn) -> None:
    login = await log_in(node)
    async with RawSocket.open(node.url) as raw:
        await raw.connect({"token": login.access_token})
        await raw.emit("refresh", {"refreshToken": login.refresh_token})
        await Silent(raw).until("431")
    assert await outcome(login, login.refresh_token) == "replayed"


async def test_pongs_that_nobody_asked_for_prove_nothing(node: Node, log_in: LogIn) -> None:
    login = await log_in(node)
    async with RawSocket.open(node.url) as raw:
        await raw.connect({"token": login.access_token})
        for _ in range(5):
            await raw.send("3")
        await raw.emit("refresh", {"refreshToken": login.refresh_token})
        silent = Silent(raw)
        await silent.until("431")
        assert await silent.frame() == "2", "a ping right behind the ack"
        assert await outcome(login, login.refresh_token) == "replayed"
        await raw.send("3")

        async def is_confirmed() -> bool:
            return await outcome(login, login.refresh_token) == "concurrent"

        await eventually(is_confirmed, "its pong confirms the pair", timeout=30)


@pytest.mark.parametrize("in_use", [True, False])
async def test_its_owner_is_told_at_once_on_every_device_and_can_end_it(
    node: Node, log_in: LogIn, connect: Connect, http: aiohttp.ClientSession, in_use: bool
) -> None:
    login = await log_in(node)
    other = await log_in(node, login.data["user"]["email"])
    here, there = await connect(node, login.access_token), await connect(node, other.access_token)
    stolen = login.refresh_token
    assert await outcome(login, stolen) == "rotated"
    if in_use:
        await here.ask("refresh", {"refreshToken": stolen})
        login.data |= (await login.api.call("POST", "/refresh", {"refreshToken": stolen})).data
        assert (await login.call("GET", "/me")).status == 200
    assert await outcome(login, stolen, **ELSEWHERE) == ("concurrent" if in_use else "replayed")
    for live in (here, there):
        alert = await live.wait("security-alert", lambda each: each["kind"] == "refresh_elsewhere")
        assert alert["session"]["sessionId"] == login.session_id
    assert await outcome(login, stolen, **ELSEWHERE) in {"replayed", "concurrent"}
    mail = await mailed(Api(node.url, http), login.data["user"]["email"])
    assert "Firefox on Linux" in mail["text"]
    assert "/?notme=" in mail["text"]
    assert (await there.ask("alert-not-me", {"sessionId": login.session_id}))["ok"]
    await here.until_gone()
    alerts = [each["kind"] for each in there.all("security-alert")]
    assert alerts.count("refresh_elsewhere") == 1, "once a day for one pair of clients"


async def mailed(api: Api, email: str) -> Any:
    async def found() -> Any:
        outbox = await api.call("GET", "/dev/outbox.json")
        mine = [mail for mail in outbox.body["messages"] if mail["to"] == email]
        return next((mail for mail in mine if "used on another device" in mail["subject"]), None)

    return await eventually(found, "the owner gets a mail", timeout=30)
