"""Login approval on the live side: sends requests to the user's devices and answers to the waiting device.

A request goes through the user's log, so a device that reconnects before it expires still receives it; after that
`push` drops it. An answer goes to every node, because any of them may hold the waiting device's connection.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import orjson

from auth.core.errors import RateLimited, Unavailable
from auth.core.models import Approval, ApprovalStatus
from auth.core.views import DeviceView, LocationView, View, as_ms
from realtime.broker.bus import Bus
from realtime.broker.seal import Message
from realtime.broker.user_log import NewEvent, UserLog
from realtime.protocol.approval_messages import (
    LoginApprovalClosed,
    LoginApprovalNumber,
    LoginApprovalRequested,
    LoginApprovalResult,
)
from realtime.protocol.messages import ServerEvent

# Long-polling HTTP requests that one node holds at a time; each is answered within twenty seconds.
MOST_LISTENERS = 2_000
FULL_RETRY_SECONDS = 2.0

DEVICE_EVENTS: dict[type[View], ServerEvent] = {
    LoginApprovalRequested: ServerEvent.LOGIN_APPROVAL_REQUESTED,
    LoginApprovalClosed: ServerEvent.LOGIN_APPROVAL_CLOSED,
}
# By the kind of a message on the bus: what the sockets of the waiting login receive.
WAITING_NEWS: dict[str, tuple[ServerEvent, type[View]]] = {
    "approval": (ServerEvent.LOGIN_APPROVAL_RESULT, LoginApprovalResult),
    "approval-number": (ServerEvent.LOGIN_APPROVAL_NUMBER, LoginApprovalNumber),
}

OnNews = Callable[[bytes, ServerEvent, View], None]


class Listener:
    """One HTTP request that waits for an answer. Implements `auth.alerts.approvals.News`."""

    __slots__ = ("_news", "over")

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.over = False

    async def wait(self, seconds: float) -> None:
        """See `auth.alerts.approvals.News.wait`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def tell(self) -> None:
        """Wake the waiting request."""
        self._news.set()

    def leave(self) -> None:
        """See `auth.alerts.approvals.News.leave`."""
        self.over = True
        self._news.set()


class LiveApprovals:
    """Sends approval requests and answers. Implements `auth.alerts.approvals.ApprovalLine`."""

    def __init__(self, user_log: UserLog, bus: Bus) -> None:
        self._log = user_log
        self._bus = bus
        self._listeners: dict[bytes, Listener] = {}
        self._closing = False
        self._on_news: list[OnNews] = []

    def subscribe(self, on_news: OnNews) -> None:
        """Call `on_news` with the login id, and the event for its sockets, at each answer and new number."""
        self._on_news.append(on_news)

    async def ask(self, approval: Approval) -> None:
        """See `auth.alerts.approvals.ApprovalLine.ask`."""
        await self._publish(approval, _requested(approval))

    async def renumber(self, closed_id: str, approval: Approval) -> None:
        """See `auth.alerts.approvals.ApprovalLine.renumber`."""
        closed = LoginApprovalClosed(
            event_id=0, approval_id=closed_id, status=ApprovalStatus.DENIED.value, try_again=True
        )
        with suppress(Unavailable):  # the request expires, and can then be repeated
            await self._publish(approval, closed, _requested(approval, after_wrong_number=True))
        number = LoginApprovalNumber(number=approval.number, expires_at=approval.expires_at)
        await self._tell("approval-number", approval.login_id, number)

    async def tell(self, approval: Approval, *, off_for: float | None = None) -> None:
        """See `auth.alerts.approvals.ApprovalLine.tell`."""
        if approval.answer is None:
            return
        status = approval.answer.value
        closed = LoginApprovalClosed(event_id=0, approval_id=approval.approval_id, status=status)
        with suppress(Unavailable):  # the devices drop the request when it expires
            await self._publish(approval, closed)
        result = LoginApprovalResult(status=status, retry_after_ms=as_ms(off_for))
        await self._tell("approval", approval.login_id, result)

    @contextmanager
    def listen(self, login_id: bytes) -> Iterator[Listener]:
        """See `auth.alerts.approvals.ApprovalLine.listen`."""
        earlier = self._listeners.get(login_id)
        if earlier is None and len(self._listeners) >= MOST_LISTENERS:
            raise RateLimited(retry_after_seconds=FULL_RETRY_SECONDS)
        if earlier is not None:
            earlier.leave()
        listener = self._listeners[login_id] = Listener()
        # While the node shuts down, new requests are answered at once.
        listener.over = self._closing
        try:
            yield listener
        finally:
            if self._listeners.get(login_id) is listener:
                del self._listeners[login_id]

    def take(self, message: Message) -> None:
        """Handle an answer, or a new number, that another node received."""
        kind = message["t"]
        news = WAITING_NEWS[kind][1].model_validate(message)
        self._take(kind, bytes.fromhex(message["login"]), news)

    def close(self) -> None:
        """End all waiting requests, because the node is shutting down."""
        self._closing = True
        for listener in self._listeners.values():
            listener.leave()

    async def _tell(self, kind: str, login_id: bytes, news: View) -> None:
        self._take(kind, login_id, news)
        await self._bus.send_to_others({"t": kind, "login": login_id.hex(), **news.to_wire()})

    def _take(self, kind: str, login_id: bytes, news: View) -> None:
        for on_news in self._on_news:
            on_news(login_id, WAITING_NEWS[kind][0], news)
        listener = self._listeners.get(login_id)
        if listener is not None:
            listener.tell()

    async def _publish(
        self,
        approval: Approval,
        *events: LoginApprovalRequested | LoginApprovalClosed,
    ) -> None:
        named = [(DEVICE_EVENTS[type(event)], event.to_wire()) for event in events]
        await self._log.publish(
            approval.user_id, [NewEvent(name, "", orjson.dumps(payload)) for name, payload in named]
        )


def _requested(approval: Approval, *, after_wrong_number: bool = False) -> LoginApprovalRequested:
    return LoginApprovalRequested(
        event_id=0,
        approval_id=approval.approval_id,
        device=DeviceView.of(approval.device),
        location=LocationView.of(approval.location) if approval.location else None,
        ip=approval.ip,
        numbers=approval.numbers,
        expires_at=approval.expires_at,
        after_wrong_number=True if after_wrong_number else None,
    )
