"""What a waiting socket does when things come together: its time, its answer, and its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.core.errors import AuthError, InvalidCode, InvalidToken, Unavailable
from auth.core.models import Client, Device, FactorAnswer, IssuedTokens, Principal, Session, TokenDelivery, User
from auth.core.views import Input, View
from auth.login.admission import LoggedIn, WaitingLogin
from auth.platform.event_limits import EventBudget, EventWindow
from auth.platform.metrics import Metrics
from auth.stores.challenges import Challenge, ChallengePurpose
from realtime.broker.user_log import JoinResult
from realtime.engine.timers import Timers
from realtime.gateway.waiting_logins import WaitingSocket, WaitingSockets
from realtime.hub import Connection
from realtime.protocol.approval_messages import LoginApprovalResult
from realtime.protocol.messages import CLIENT_EVENTS, ClientEvent, ServerEvent

NOW = utc_now()
USER = User("ada", "ada@example.org", None, None, (), NOW)
SESSION = Session(
    "s", "ada", b"", 0, False, TokenDelivery.BODY, (), ("pwd", "otp", "mfa"), Device("Boat"), "", "", None,
    NOW, NOW, NOW, NOW, NOW,
)  # fmt: skip
PRINCIPAL = Principal("ada", "s", 0, (), (), NOW, NOW, NOW)
CODE = {"code": "123456"}


@dataclass
class Login:
    """Stands for the admission and the sessions: an answer is judged when the test says so."""

    outcome: AuthError | None = None
    tries_left: int = 4
    life: timedelta = timedelta(minutes=5)
    judged: asyncio.Event = field(default_factory=asyncio.Event)
    judging: asyncio.Event = field(default_factory=asyncio.Event)
    logged_out: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    async def waiting(self, mfa_token: str) -> WaitingLogin:
        now = utc_now()
        challenge = Challenge(
            b"id", ChallengePurpose.SECOND_FACTOR, "ada", now, now + self.life, self.tries_left, {}
        )
        return WaitingLogin(USER, challenge, TokenDelivery.BODY)

    async def methods_of(self, login: WaitingLogin) -> tuple[str, ...]:
        return ("totp",)

    async def finish(self, mfa_token: str, answer: FactorAnswer, *, client: Client) -> LoggedIn:
        self.judging.set()
        await self.judged.wait()
        if self.outcome is not None:
            raise self.outcome
        return LoggedIn(USER, SESSION, IssuedTokens("a", NOW, "r", NOW))

    async def verify(self, token: str) -> Principal:
        return PRINCIPAL

    def confirm_soon(self, principal: Principal) -> None:
        self.confirmed.append(principal.session_id)

    async def log_out(self, principal: Principal, *, client: Client) -> None:
        self.logged_out.append(principal.session_id)


class Sockets:
    """Stands for the emitter: writes down who was told what, and who was closed."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.told: list[tuple[str, Any]] = []
        self.closed: list[str] = []
        self.on_close: Callable[[str], None] = lambda _: None

    def emit_here(self, socket_id: str, event: str, payload: Any) -> None:
        self.told.append((event, payload))

    def close(self, socket_id: str) -> None:
        self.closed.append(socket_id)
        self.on_close(socket_id)

    def drop(self, socket_id: str, why: str) -> None:
        self.close(socket_id)


class Received:
    """Stands for an event as it came in."""

    def __init__(self, event: str, *arguments: Any) -> None:
        self.event, self.arguments, self.size = event, list(arguments), 20
        self.wants_answer = True
        self.acks: list[Any] = []

    def answer(self, ack: Any) -> None:
        self.acks.append(ack)

    def when_received(self, act: Callable[[], None]) -> None:
        assert self.acks, "there is nothing yet to be received"
        act()


class Room:
    """One waiting room, with everything around it in sight."""

    def __init__(self, login: Login, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("realtime.gateway.waiting_logins.WAIT_SECONDS", seconds)
        self.login = login
        self.lived: list[str] = []
        self.fails: Exception | None = None
        self.served: list[str] = []
        self.sockets = Sockets()
        self.also_served: dict[str, Any] = {}
        around: Any = (login, login, self, self, self, self.sockets)
        self.room = WaitingSockets(*around, also_served=self.also_served, metrics=Metrics(), clock=utc_now)
        self.sockets.on_close = self.room.left

    async def join(self, connection: Connection, *, cursor: int | None, has_waited: bool) -> JoinResult:
        if self.fails is not None:
            raise self.fails
        return JoinResult("ok")

    def activate(self, connection: Connection, cursor: int | None, joined: JoinResult) -> None:
        self.lived.append(connection.socket_id)

    async def handle(self, connection: Any, received: Any) -> None:
        self.served.append(received.event)

    async def wait(self, socket_id: str = "x") -> WaitingSocket:
        await self.room.admit(
            socket_id,
            "token",
            Client("192.0.2.1"),
            EventBudget(EventWindow(None, 60, now=0), {}),
            keeps_places=False,
        )
        self.room.admitted(socket_id)
        waiting = self.room.get(socket_id)
        assert waiting is not None
        return waiting

    def send(self, waiting: WaitingSocket, event: str, *arguments: Any) -> Received:
        received = Received(event, *arguments)
        assert waiting.enqueue(lambda: self.room.serve(waiting, received))  # type: ignore[arg-type]
        return received

    @property
    def codes(self) -> list[str]:
        return [payload["code"] for event, payload in self.sockets.told if event == "mfa-closed"]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Room]:
    return lambda login, seconds=60.0: Room(login, seconds, monkeypatch)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_right_answer_that_was_being_judged_when_time_ran_out_is_taken(room: Any) -> None:
    here = room(Login(), 0.05)
    waiting = await here.wait()
    sent = here.send(waiting, "mfa-verify", CODE)
    await asyncio.sleep(0.2)
    assert (here.sockets.closed, waiting.overdue) == ([], True)
    here.login.judged.set()
    await until(lambda: here.lived)
    assert sent.acks[0]["ok"] is True
    assert here.login.confirmed == ["s"], "once the client has shown that it has the ack"
    assert (here.sockets.closed, here.codes) == ([], [])


async def test_a_wrong_one_is_the_last(room: Any) -> None:
    here = room(Login(InvalidCode()), 0.05)
    sent = here.send(await here.wait(), "mfa-verify", CODE)
    await asyncio.sleep(0.2)
    here.login.judged.set()
    await until(lambda: here.sockets.closed)
    assert sent.acks[0]["code"] == "invalid_code"
    assert here.codes == ["timeout"]
    assert len(here.room) == 0


async def test_a_login_whose_time_is_nearly_over_is_waited_for_no_longer(room: Any) -> None:
    here = room(Login(life=timedelta(seconds=0.1)))
    await here.wait()
    assert here.sockets.told[0][1]["deadlineMs"] <= 100
    await until(lambda: here.sockets.closed)
    assert here.codes == ["timeout"]


async def test_who_goes_while_the_answer_is_judged_leaves_no_session(room: Any) -> None:
    here = room(Login())
    waiting = await here.wait()
    sent = here.send(waiting, "mfa-verify", CODE)
    await here.login.judging.wait()
    here.room.left("x")
    here.login.judged.set()
    await until(lambda: here.login.logged_out)
    assert here.login.logged_out == ["s"]
    assert (sent.acks, here.lived) == ([], [])


async def test_what_waited_behind_the_answer_of_one_that_went_is_dropped(room: Any) -> None:
    here = room(Login())
    waiting = await here.wait()
    here.send(waiting, "mfa-verify", CODE)
    behind = here.send(waiting, "mfa-verify", CODE)
    await here.login.judging.wait()
    here.room.left("x")
    here.login.judged.set()
    await until(lambda: waiting.worker is None)
    assert behind.acks == []
    assert here.login.logged_out == ["s"]


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("a defect")])
async def test_a_socket_that_cannot_become_live_is_closed_with_its_tokens_in_hand(
    room: Any, error: Exception
) -> None:
    here = room(Login())
    here.fails = error
    here.login.judged.set()
    sent = here.send(await here.wait(), "mfa-verify", CODE)
    await until(lambda: here.sockets.closed)
    assert [ack["ok"] for ack in sent.acks] == [True]
    assert here.login.logged_out == []


async def test_an_outage_costs_no_socket(room: Any) -> None:
    here = room(Login(Unavailable()))
    here.login.judged.set()
    sent = here.send(await here.wait(), "mfa-verify", CODE)
    await until(lambda: sent.acks)
    assert sent.acks[0]["code"] == "unavailable"
    assert (here.sockets.closed, len(here.room)) == ([], 1)


async def test_a_login_without_tries_opens_no_socket(room: Any) -> None:
    here = room(Login(tries_left=0))
    with pytest.raises(InvalidToken):
        await here.wait()
    assert len(here.room) == 0


async def test_other_parts_can_serve_events_of_their_own_and_tell_every_socket_of_a_login(
    room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RequestedApproval(Input):
        number: int

    class Told(View):
        number: int

    result = LoginApprovalResult(status="approved")

    async def serve(waiting: WaitingSocket, asked: RequestedApproval) -> View:
        assert waiting.login_id == b"id"
        return Told(number=asked.number + 1)

    here = room(Login())
    monkeypatch.setitem(CLIENT_EVENTS, "begin-factor", (RequestedApproval, Told))
    here.also_served["begin-factor"] = serve
    first, _ = await here.wait("x"), await here.wait("y")
    good, bad = here.send(first, "begin-factor", {"number": 1}), here.send(first, "begin-factor", {"number": "1"})
    await until(lambda: bad.acks)
    assert (good.acks, bad.acks[0]["code"]) == ([{"ok": True, "number": 2}], "invalid_request")
    here.room.send_approval_news(b"id", ServerEvent.LOGIN_APPROVAL_RESULT, result)
    here.room.send_approval_news(b"another", ServerEvent.LOGIN_APPROVAL_RESULT, result)
    told = [payload for event, payload in here.sockets.told if event == "login-approval-result"]
    assert told == [result.to_wire()] * 2


async def test_a_defect_of_an_event_is_answered_and_the_socket_still_waits(room: Any) -> None:
    async def fail(waiting: WaitingSocket, asked: Any) -> View:
        raise RuntimeError("a defect")

    here = room(Login())
    here.also_served[ClientEvent.SESSIONS_LIST] = fail
    sent = here.send(await here.wait(), "sessions-list", {})
    await until(lambda: sent.acks)
    assert sent.acks[0]["code"] == "internal_error"
    assert len(here.room) == 1


async def test_its_secret_is_not_printed_with_it(room: Any) -> None:
    assert "'token'" not in repr(await room(Login()).wait())
