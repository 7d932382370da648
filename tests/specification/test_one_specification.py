"""What a device can do with sessions, said once and checked over every way in: body, cookie, cookies, socket."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.clients import Api, Live, Login
from support.nodes import Node

WAYS = ("body", "cookie", "cookies", "socket")
NOBODY_TOLD = {"sockets": 0, "notified": 0, "acknowledged": 0, "closed": 0, "pending": 0}


@dataclass
class Device:
    """One login that speaks over one way. Each call gives the data, or the code of the refusal."""

    login: Login
    live: Live | None = None

    @property
    def session_id(self) -> str:
        return self.login.session_id

    async def list(self) -> Any:
        return await self._ask("sessions-list", {}, "GET", "/sessions")

    async def revoke(self, session_id: str) -> Any:
        return await self._ask("session-revoke", {"sessionId": session_id}, "DELETE", f"/sessions/{session_id}")

    async def revoke_others(self) -> Any:
        return await self._ask("sessions-revoke-others", {}, "POST", "/sessions/revoke-others")

    async def refresh(self, *, forget_answer: bool = False) -> Any:
        """Trade the refresh token; with `forget_answer` the answer is lost on its way."""
        kept, cookies = dict(self.login.data), dict(self.login.api.cookies)
        token = self.login.data.get("refreshToken")
        body = {} if token is None else {"refreshToken": token}
        answer = await self._ask("refresh", {"refreshToken": token}, "POST", "/refresh", body)
        if forget_answer:
            self.login.data, self.login.api.cookies = kept, cookies
        elif isinstance(answer, dict):
            self.login.data |= answer
        return answer

    async def _ask(self, event: str, payload: Any, method: str, path: str, body: Any = None) -> Any:
        if self.live is not None:
            ack = await self.live.ask(event, payload)
            return {key: value for key, value in ack.items() if key != "ok"} if ack["ok"] else ack["code"]
        answer = await self.login.call(method, path, body)
        return answer.data if answer.body["success"] else answer.code


Enter = Callable[..., Awaitable[Device]]


@pytest.fixture(params=WAYS)
def enter(request: pytest.FixtureRequest, node: Node, http: Any, connect: Any) -> Enter:
    """Logs a device in on the way that is tested."""

    async def log_in(email: str) -> Device:
        way = request.param
        login = await Api(node.url, http).login(email, delivery="body" if way == "socket" else way)
        return Device(login, await connect(node, login.access_token) if way == "socket" else None)

    return log_in


async def test_the_list_shows_every_device_and_which_one_asks(enter: Enter, api: Api) -> None:
    email = await api.register()
    one, other = await enter(email), await enter(email)
    listed = await one.list()
    assert {session["sessionId"]: session["isCurrent"] for session in listed["sessions"]} == {
        one.session_id: True,
        other.session_id: False,
    }
    assert listed["version"] > 0


async def test_an_ended_device_is_out_at_once_and_whoever_ended_it_is_told(enter: Enter, api: Api) -> None:
    email = await api.register()
    one, other = await enter(email), await enter(email)
    answer = await one.revoke(other.session_id)
    assert answer["delivery"]["sockets"] == answer["delivery"]["closed"] == (1 if other.live else 0)
    assert [session["sessionId"] for session in (await one.list())["sessions"]] == [one.session_id]
    if other.live is not None:
        await other.live.until_gone()
    else:
        assert await other.list() == "session_revoked"


async def test_nobody_ends_a_session_twice_or_a_strangers(enter: Enter, api: Api) -> None:
    email = await api.register()
    one, other, stranger = await enter(email), await enter(email), await enter(await api.register())
    await one.revoke(other.session_id)
    assert await one.revoke(other.session_id) == "not_found"
    assert await one.revoke(stranger.session_id) == "not_found"
    assert [session["sessionId"] for session in (await stranger.list())["sessions"]] == [stranger.session_id]


async def test_ending_the_others_spares_the_one_that_asks(enter: Enter, api: Api) -> None:
    email = await api.register()
    one, _, _ = await enter(email), await enter(email), await enter(email)
    assert (await one.revoke_others())["revoked"] == 2
    assert [session["sessionId"] for session in (await one.list())["sessions"]] == [one.session_id]
    assert await one.revoke_others() == {"revoked": 0, "delivery": NOBODY_TOLD}


async def test_a_refresh_rotates_and_a_lost_answer_is_given_again(enter: Enter, api: Api) -> None:
    one = await enter(await api.register())
    assert (await one.refresh())["outcome"] == "rotated"
    assert (await one.refresh(forget_answer=True))["outcome"] == "rotated"
    # A live socket has shown with its pong that it has the answer, whatever its page made of it.
    assert (await one.refresh())["outcome"] in ({"replayed"} if one.live is None else {"replayed", "concurrent"})
    assert (await one.refresh())["outcome"] == "rotated"
    assert [session["sessionId"] for session in (await one.list())["sessions"]] == [one.session_id]
