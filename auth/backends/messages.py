"""Messages of backends to users, sessions, rooms and sockets.

A request with an id is served once for its server key: a repeat within 24 hours gets the first answer. The id is
claimed in MongoDB before anything is sent. A node that dies between sending and recording the answer leaves the
claim; ten seconds later a repeat sends again, so in this one case an event can arrive twice, never not at all. Of
durable events the log itself knows the id for ten minutes, so they do not.

Sending and waiting for the receipts are two steps, so that a batch sends in order and waits once.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from auth.backends.live import LiveControl, Message, Sent, Target
from auth.backends.targets import Targets
from auth.core.errors import AuthError, Conflict, FieldError, InvalidRequest, Unavailable
from auth.core.json_values import as_json
from auth.core.models import Delivery
from auth.core.server_keys import ServerKey
from auth.services import Operation, Services
from auth.stores.sent_messages import SentMessages

# How long a repeat waits for the answer of the first request, and how often it looks.
WAIT_SECONDS, LOOK_SECONDS = 3.0, 0.05
# So that a log has room for more than thirty of the largest (lua/append.lua).
MAX_DURABLE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Emit:
    """A request to send `message` to `target`. `durable`: by the user's or room's log. `request_id`: see above."""

    target: Target
    message: Message
    durable: bool = False
    request_id: str | None = None

    @property
    def digest(self) -> bytes:
        """Tells requests with the same id and other content apart. The order of members is not content."""
        content = [asdict(self.target), asdict(self.message), self.durable]
        return hashlib.sha256(as_json(content, sort_keys=True).encode()).digest()


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

    def __init__(self, services: Services, *, sent: SentMessages, targets: Targets, live: LiveControl) -> None:
        super().__init__(services)
        self._sent = sent
        self._targets = targets
        self._live = live

    async def emit(self, key: ServerKey, asked: Emit) -> Emitted:
        """Send a message, and wait for its receipts for at most 1 s.

        Raises `InvalidRequest`, `NotFound` for an unknown user or a session that is not live, `Conflict` for an id
        of another request, or `Unavailable`, after which the request may be repeated.
        """
        return await (await self.begin(key, asked))()

    async def begin(self, key: ServerKey, asked: Emit) -> Finish:
        """Like `emit`; returns once the message is sent. The result must be called."""
        if asked.durable:
            _check_durable(asked)
        if asked.request_id is None:
            return await self._send(asked, once=None)
        request_id = asked.request_id
        earlier = await self._sent.claim(key.key_id, request_id, asked.digest, now=self._clock())
        if earlier is not None:
            if earlier.digest != asked.digest:
                raise Conflict("Another request had this id.")
            return lambda: self._first_answer(key.key_id, request_id)
        try:
            finish = await self._send(asked, once=_once(key.key_id, request_id, asked.digest))
        except BaseException:
            await self._release(key.key_id, request_id)
            raise
        return lambda: self._finish_once(key.key_id, request_id, finish)

    async def _send(self, asked: Emit, *, once: str | None) -> Finish:
        target = await self._targets.located(asked.target)
        if asked.durable and target.kind == "room":
            sent = await self._live.append_to_room(target.name, asked.message, once=once)
        elif asked.durable:
            await self._targets.require_user(target.name)
            sent = await self._live.append(target.name, asked.message, once=once)
        else:
            sent = await self._live.emit(target, asked.message)
        return lambda: self._finish(target, sent)

    async def _finish(self, target: Target, sent: Sent) -> Emitted:
        delivery = await sent.delivery()
        if target.kind == "user" and sent.event_id is None and delivery == Delivery():
            # Asked only now: a user with sockets exists.
            await self._targets.require_user(target.name)
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


def _once(key_id: str, request_id: str, digest: bytes) -> str:
    """Names a request in Redis, where a durable event may be although the first request was answered 503."""
    return hashlib.sha256(b" ".join((key_id.encode(), request_id.encode(), digest))).hexdigest()[:32]


def check_durable_data(data: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for more than a durable event may have."""
    if len(as_json(data).encode()) > MAX_DURABLE_BYTES:
        raise InvalidRequest(errors=[FieldError("data", "Durable events have at most 16 KiB of JSON.")])


def _check_durable(asked: Emit) -> None:
    if asked.target.kind not in {"user", "room"}:
        problem = "Only events for a user or a room can be durable."
        raise InvalidRequest(errors=[FieldError("durable", problem)])
    check_durable_data(asked.message.data)
    if asked.target.kind == "user" and asked.message.except_socket_id is not None:
        # A socket's id ends with it: the client would get the event after a reconnect.
        raise InvalidRequest(
            errors=[FieldError("exceptSocketId", "A durable event for a user goes to all of the user's clients.")]
        )


def _read(answer: Mapping[str, Any]) -> Emitted:
    return Emitted(Delivery(**answer["delivery"]), answer["eventId"], answer["historyId"])
