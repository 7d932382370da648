"""An application's names, handlers and hooks, apart from any server."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from auth.backends.live import RoomHistory, UserPresence
from auth.core.models import Principal, User
from realtime.application import Application, LiveSocket, Registration


class Rooms:
    """Writes down what an application asks of the live server."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def emit_to_room(
        self, event: str, data: dict[str, Any], room: str, *, except_socket_id: str | None = None
    ) -> None:
        self.asked.append(("emit_to_room", event, data, room))

    async def emit_to_user(self, event: str, data: dict[str, Any], user_id: str) -> None:
        self.asked.append(("emit_to_user", event, data, user_id))

    async def append_to_room(self, event: str, data: dict[str, Any], room: str) -> int:
        self.asked.append(("append_to_room", event, data, room))
        return 1

    async def append_to_user(self, event: str, data: dict[str, Any], user_id: str) -> int:
        self.asked.append(("append_to_user", event, data, user_id))
        return 2

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        self.asked.append(("history", room, after, limit))
        return RoomHistory((), None, None)

    async def presence(self, user_ids: Sequence[str]) -> Mapping[str, UserPresence]:
        self.asked.append(("presence", user_ids))
        return {}

    async def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        self.asked.append(("emit_here", socket_id, event, payload))

    async def enter(self, socket_id: str, room: str, role: str | None) -> None:
        self.asked.append(("enter", socket_id, room, role))

    async def leave(self, socket_id: str, room: str) -> None:
        self.asked.append(("leave", socket_id, room))

    async def watch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        self.asked.append(("watch", socket_id, user_ids))

    async def unwatch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        self.asked.append(("unwatch", socket_id, user_ids))

    async def user(self, principal: Principal) -> User:
        raise NotImplementedError

    def who_is(self, socket_id: str) -> Principal | None:
        self.asked.append(("who_is", socket_id))
        return None


@pytest.fixture
def chat() -> Application:
    return Application("chat")


@pytest.fixture
def rooms(chat: Application) -> Rooms:
    rooms = Rooms()
    chat.start(rooms)
    return rooms


def test_handlers_are_registered_under_the_applications_name(chat: Application) -> None:
    @chat.on("send")
    async def send(socket: LiveSocket, data: dict[str, Any]) -> None: ...

    @chat.on("mute", role="moderator")
    async def mute(socket: LiveSocket, data: dict[str, Any]) -> None: ...

    assert chat.handlers == {
        "chat:send": Registration(send, None),
        "chat:mute": Registration(mute, "moderator"),
    }


def test_the_decorators_give_back_what_they_decorate(chat: Application) -> None:
    async def hook(_: Any) -> None: ...

    for decorate in (
        chat.on_socket_connected,
        chat.on_socket_disconnected,
        chat.on_session_started,
        chat.on_session_ended,
    ):
        assert decorate(hook) is hook
    assert chat.connected_hooks == chat.disconnected_hooks == chat.started_hooks == chat.ended_hooks == [hook]


def test_two_applications_share_nothing() -> None:
    first, second = Application("first"), Application("second")

    @first.on("send")
    async def send(socket: LiveSocket, data: dict[str, Any]) -> None: ...

    assert second.handlers == {}


async def test_what_it_emits_and_where_it_enters_bears_its_name(chat: Application, rooms: Rooms) -> None:
    socket = LiveSocket(chat, "socket", None)  # type: ignore[arg-type]
    await chat.emit("message", {"n": 1}, room="lobby")
    await socket.enter("lobby")
    await socket.emit("message", {"n": 2})
    await socket.leave("lobby")
    assert chat.who_is("socket") is None
    assert rooms.asked == [
        ("emit_to_room", "chat:message", {"n": 1}, "chat:lobby"),
        ("enter", "socket", "chat:lobby", None),
        ("emit_here", "socket", "chat:message", {"n": 2}),
        ("leave", "socket", "chat:lobby"),
        ("who_is", "socket"),
    ]


async def test_data_with_the_id_of_an_event_are_refused(chat: Application, rooms: Rooms) -> None:
    socket = LiveSocket(chat, "socket", None)  # type: ignore[arg-type]
    durable = chat.emit("message", {"eventId": 1}, user="ada", durable=True)
    for emit in (
        durable,
        chat.emit("message", {"eventId": 1}, room="lobby"),
        socket.emit("message", {"eventId": 1}),
    ):
        with pytest.raises(ValueError, match="eventId"):
            await emit
    assert rooms.asked == []


async def test_a_room_is_entered_by_the_role_of_the_handler_unless_another_is_named(
    chat: Application, rooms: Rooms
) -> None:
    socket = LiveSocket(chat, "socket", None, role="moderator")  # type: ignore[arg-type]
    await socket.enter("mods")
    await socket.enter("vault", role="admin")
    assert rooms.asked == [
        ("enter", "socket", "chat:mods", "moderator"),
        ("enter", "socket", "chat:vault", "admin"),
    ]


async def test_before_its_server_has_started_it_says_so(chat: Application) -> None:
    with pytest.raises(RuntimeError, match="'chat' is not running"):
        await chat.emit("message", {}, room="lobby")


async def test_a_hook_that_waited_for_what_was_cancelled_has_failed_and_the_others_are_run(
    chat: Application,
) -> None:
    told: list[str] = []

    @chat.on_socket_disconnected
    async def waits(socket: LiveSocket) -> None:
        told.append("waits")
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    @chat.on_socket_disconnected
    async def is_told(socket: LiveSocket) -> None:
        told.append("is told")

    assert await chat.run_disconnect_hooks_for_dead_node("user", "session", "socket") is False
    assert told == ["waits", "is told"]


async def test_durable_events_and_those_for_a_user_have_their_own_ways(chat: Application, rooms: Rooms) -> None:
    assert await chat.emit("message", {}, user="ada") is None
    assert await chat.emit("message", {}, room="lobby", durable=True) == 1
    assert await chat.emit("message", {}, user="ada", durable=True) == 2
    await chat.history("lobby", after=7)
    assert rooms.asked == [
        ("emit_to_user", "chat:message", {}, "ada"),
        ("append_to_room", "chat:message", {}, "chat:lobby"),
        ("append_to_user", "chat:message", {}, "ada"),
        ("history", "chat:lobby", 7, 50),
    ]


async def test_an_event_has_one_target_and_a_page_its_bounds(chat: Application, rooms: Rooms) -> None:
    for emit in (chat.emit("message", {}), chat.emit("message", {}, room="lobby", user="ada")):
        with pytest.raises(ValueError, match="either"):
            await emit
    for limit in (0, 201):
        with pytest.raises(ValueError, match="limit"):
            await chat.history("lobby", limit=limit)
    with pytest.raises(ValueError, match="500"):
        await chat.presence(["ada"] * 501)
    assert rooms.asked == []
