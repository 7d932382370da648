"""Messages of backends to users, sessions, rooms and sockets.

A request with an id is served once for its server key: a repeat within 24 hours gets the first answer. The id is
claimed in MongoDB before anything is sent. A node that dies between sending and recording the answer leaves the
claim; ten seconds later a repeat sends again, so in this one case an event can arrive twice, never not at all.

Sending and waiting for the receipts are two steps, so that a batch sends in order and waits once.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from auth.backends.live import LiveControl, Message, Sent, Target
from auth.backends.sessions import BackendSessions
from auth.core.errors import AuthError, Conflict, FieldError, InvalidRequest, NotFound, Unavailable
from auth.core.json_values import as_json
from auth.core.models import Delivery
from auth.core.server_keys import ServerKey
from auth.services import Operation, Services
from auth.stores.sent_messages import SentMessages

# How long a repeat waits for the answer of the first request, and how often it looks.
WAIT_SECONDS, LOOK_SECONDS = 3.0, 0.05


@dataclass(frozen=True, slots=True)
class Emit:
    """A request to send `message` to `target`. `durable`: by the user's or room's log. `request_id`: see above."""

    target: Target
    message: Message
    durable: bool = False
    request_id: str | None = None

    @property
    def digest(self) -> bytes:
        """Tells requests with the same id and other content apart."""
        return hashlib.sha256(as_json([asdict(self.target), asdict(self.message), self.durable]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Emitted:
    """The answer: the id in the log of the user or room, if durable; what happened; whether it is a repeat's."""

    delivery: Delivery
    event_id: int | None = None
    history_id: int | None = None
    duplicate: bool = False


# Waits for the receipts, and returns the answer.
Finish = Callable[[], Awaitable[Emitted]]


class BackendMessages(Operation):
    """Sends messages of backends."""

    def __init__(
        self, services: Services, *, sent: SentMessages, sessions: BackendSessions, live: LiveControl
    ) -> None:
        super().__init__(services)
        self._sent = sent
        self._sessions = sessions
        self._live = live

    async def emit(self, key: ServerKey, asked: Emit) -> Emitted:
        """Send a message, and wait for its receipts for at most 1 s.

        Raises `InvalidRequest`, `NotFound` for an unknown user or a session that is not live, `Conflict` for an id
        of another request, or `Unavailable`, after which the request may be repeated.
        """
        return await (await self.begin(key, asked))()

    async def begin(self, key: ServerKey, asked: Emit) -> Finish:
        """Like `emit`; returns once the message is sent. The result must be called."""
        if asked.durable and asked.target.kind not in {"user", "room"}:
            problem = "Only events for a user or a room can be durable."
            raise InvalidRequest(errors=[FieldError("durable", problem)])
        if asked.request_id is None:
            return await self._send(asked)
        request_id = asked.request_id
        earlier = await self._sent.claim(key.key_id, request_id, asked.digest, now=self._clock())
        if earlier is not None:
            if earlier.digest != asked.digest:
                raise Conflict("Another request had this id.")
            return lambda: self._first_answer(key.key_id, request_id)
        try:
            finish = await self._send(asked)
        except BaseException:
            await self._release(key.key_id, request_id)
            raise
        return lambda: self._finish_once(key.key_id, request_id, finish)

    async def _send(self, asked: Emit) -> Finish:
        target = await self._sessions.located(asked.target)
        if asked.durable and target.kind == "room":
            sent = await self._live.append_to_room(target.name, asked.message)
        elif asked.durable:
            await self._require_user(target)
            sent = await self._live.append(target.name, asked.message)
        else:
            sent = await self._live.emit(target, asked.message)
        return lambda: self._finish(target, sent)

    async def _finish(self, target: Target, sent: Sent) -> Emitted:
        delivery = await sent.delivery()
        if target.kind == "user" and sent.event_id is None and delivery == Delivery():
            # Asked only now: a user with sockets exists.
            await self._require_user(target)
        return Emitted(delivery, sent.event_id, sent.history_id)

    async def _finish_once(self, key_id: str, request_id: str, finish: Finish) -> Emitted:
        try:
            emitted = await finish()
        except AuthError:
            await self._release(key_id, request_id)
            raise
        with suppress(Unavailable):  # it was sent; a repeat ten seconds later may send it again
            answer = {
                "eventId": emitted.event_id,
                "historyId": emitted.history_id,
                "delivery": asdict(emitted.delivery),
            }
            await self._sent.answered(key_id, request_id, answer)
        return emitted

    async def _first_answer(self, key_id: str, request_id: str) -> Emitted:
        for _ in range(round(WAIT_SECONDS / LOOK_SECONDS)):
            earlier = await self._sent.earlier(key_id, request_id)
            if earlier is None:
                break
            if earlier.answer is not None:
                return replace(_read(earlier.answer), duplicate=True)
            await asyncio.sleep(LOOK_SECONDS)
        raise Unavailable("The first request with this id has no answer yet. Repeat this one.")

    async def _release(self, key_id: str, request_id: str) -> None:
        with suppress(Unavailable):  # the claim runs out
            await self._sent.release(key_id, request_id)

    async def _require_user(self, target: Target) -> None:
        if await self._users.by_id(target.name) is None:
            raise NotFound("There is no such account.")


def _read(answer: Mapping[str, Any]) -> Emitted:
    return Emitted(Delivery(**answer["delivery"]), answer["eventId"], answer["historyId"])
