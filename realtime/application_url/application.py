"""The application behind a URL: every client event `<application>:<name>` is posted there, and the hooks."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from auth.backends.backends import Backends
from auth.backends.messages import Emitted
from auth.clients.devices import Devices
from auth.core.errors import AuthError, Unavailable
from auth.core.models import NOWHERE
from auth.core.server_keys import Scope, ServerKey
from auth.core.tasks import Background
from auth.core.text import QUALIFIED_NAME
from auth.core.views import DeviceView
from auth.http.schemas.client_events import ClientEventAnswer, PostedEvent, RoomMember
from auth.platform.settings.application_url import ApplicationUrlSettings
from realtime.application import Application, Data, LiveSocket, Registration
from realtime.application_url.answers import AnswerWrong, read_answer
from realtime.application_url.posts import Posts

# One name in the metrics: clients choose the events' names.
COUNTED_AS = "application"
FINISH_SECONDS = 2.0
# In whose name emits with an id are sent: the ids are unique among those of this application.
KEY = ServerKey(
    "application-url", "the application's URL", (Scope.EMIT,), b"", created_at=datetime.min.replace(tzinfo=UTC)
)

Result = TypeVar("Result")

log = structlog.get_logger()


class UrlApplication(Application):
    """Serves client events and hooks by requests to a URL. The backend's names of rooms are complete."""

    serves_any = True

    def __init__(self, posts: Posts, devices: Devices, settings: ApplicationUrlSettings) -> None:
        super().__init__("url")
        self._posts = posts
        self._devices = devices
        self._backends: Backends | None = None
        self._finishing = Background()
        if settings.application_url_connect:
            self.on_socket_connected(partial(self._tell, "connect"))
        if settings.application_url_disconnect:
            self.on_socket_disconnected(self._tell_of_disconnect)
        if settings.application_url_roles:
            self.on_roles_changed(partial(self._tell, "roles"))

    def act_by(self, backends: Backends) -> None:
        """Let acts take effect by the operations of backends; called once they exist."""
        self._backends = backends

    async def close(self) -> None:
        """Close the connections, when no socket is left."""
        await self._finishing.finished(FINISH_SECONDS)
        await self._posts.close()

    def registration(self, event: str) -> Registration | None:
        """See `Application.registration`: any event with the name of an application."""
        if QUALIFIED_NAME.fullmatch(event) is None:
            return None
        return Registration(partial(self._serve, event), None, counted_as=COUNTED_AS)

    def qualified(self, name: str) -> str:
        """The name itself: the backend's names are complete."""
        return name

    async def _serve(self, event: str, socket: LiveSocket, data: Data) -> Data:
        return await self._exchange(event, socket, data, event_id=f"evt_{secrets.token_hex(16)}")

    async def _tell(self, event: str, socket: LiveSocket) -> None:
        await self._exchange(event, socket, {}, event_id=f"evt_{secrets.token_hex(16)}")

    async def _tell_of_disconnect(self, socket: LiveSocket) -> None:
        # The same id for each try, on each node, so that the backend can tell a repeat.
        await self._exchange("disconnect", socket, {}, event_id=f"gone_{socket.socket_id}")

    async def _exchange(self, event: str, socket: LiveSocket, data: Data, *, event_id: str) -> Data:
        """Post an event, let the acts of the answer take effect, and return the ack.

        Raises `Unavailable`, `InvalidRequest` or `AnswerWrong`, an `InternalError` that is logged.
        """
        principal = socket.principal
        content = PostedEvent(
            event=event,
            data=data,
            user_id=principal.user_id,
            session_id=principal.session_id,
            socket_id=socket.socket_id,
            roles=principal.roles,
            device=None if socket.client is NOWHERE else DeviceView.of(self._devices.read(socket.client)),
            event_id=event_id,
        )
        reply = await self._posts.post(event_id, content.model_dump())
        try:
            ack, acts = read_answer(reply)
        except AnswerWrong as error:
            log.warning("application_answer_wrong", application_event=event[:64], detail=error.detail)
            raise
        await self._act(acts, socket)
        return ack

    async def _act(self, acts: ClientEventAnswer, socket: LiveSocket) -> None:
        """Carry acts out, in order. Raises `Unavailable`; an act that is refused is logged, and others go on."""
        for leave in acts.leave:
            await self._try("leave", partial(self._move, leave, socket, enter=False))
        for join in acts.join:
            await self._try("join", partial(self._move, join, socket, enter=True))
        await self._try("unwatch", partial(socket.unwatch, acts.unwatch))
        await self._try("watch", partial(socket.watch, acts.watch))
        for emit in acts.emit:
            finish = await self._try("emit", partial(self._operations.messages.begin, KEY, emit.asked))
            if finish is not None:
                self._finishing.spawn(self._finish(finish))

    async def _move(self, what: str | RoomMember, socket: LiveSocket, *, enter: bool) -> None:
        if isinstance(what, str):
            await (socket.enter(what) if enter else socket.leave(what))
        elif enter:
            await self._operations.rooms.add(what.room, what.target)
        else:
            await self._operations.rooms.remove(what.room, what.target)

    async def _try(self, act: str, work: Callable[[], Awaitable[Result]]) -> Result | None:
        try:
            return await work()
        except Unavailable:
            raise
        except AuthError as error:
            log.warning("application_act_refused", act=act, code=error.code)
            return None

    async def _finish(self, finish: Callable[[], Awaitable[Emitted]]) -> None:
        """Wait for the receipts of an emit, which nobody is told."""
        with suppress(Unavailable):
            await self._try("emit", finish)

    @property
    def _operations(self) -> Backends:
        assert self._backends is not None
        return self._backends
