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
from auth.core.views import DeviceView, LocationView
from realtime.broker.bus import Bus, Message
from realtime.broker.user_log import NewEvent, UserLog
from realtime.protocol import messages
from realtime.protocol.messages import ServerEvent

# Long-polling HTTP requests that one node holds at a time; each is answered within twenty seconds.
MOST_LISTENERS = 2_000
FULL_RETRY_SECONDS = 2.0

OnAnswer = Callable[[bytes, messages.LoginApprovalResult], None]


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
        self._on_answer: list[OnAnswer] = []

    def subscribe(self, on_answer: OnAnswer) -> None:
        """Call `on_answer` with the login id and the result of each answer from now on."""
        self._on_answer.append(on_answer)

    async def ask(self, approval: Approval) -> None:
        """See `auth.alerts.approvals.ApprovalLine.ask`."""
        asked = messages.LoginApprovalRequested(
            event_id=0,
            approval_id=approval.approval_id,
            device=DeviceView.of(approval.device),
            location=LocationView.of(approval.location) if approval.location else None,
            ip=approval.ip,
            numbers=approval.numbers,
            expires_at=approval.expires_at,
        )
        await self._publish(approval, ServerEvent.LOGIN_APPROVAL_REQUESTED, asked.to_wire())

    async def tell(self, approval: Approval) -> None:
        """See `auth.alerts.approvals.ApprovalLine.tell`."""
        if approval.answer is None:
            return
        closed = messages.LoginApprovalClosed(
            event_id=0, approval_id=approval.approval_id, status=approval.answer.value
        )
        with suppress(Unavailable):  # the devices drop the request when it expires
            await self._publish(approval, ServerEvent.LOGIN_APPROVAL_CLOSED, closed.to_wire())
        self._answered(approval.login_id, approval.answer)
        await self._bus.send_to_others(
            {"t": "approval", "login": approval.login_id.hex(), "status": approval.answer.value}
        )

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
        """Handle an answer that another node received."""
        self._answered(bytes.fromhex(message["login"]), ApprovalStatus(message["status"]))

    def close(self) -> None:
        """End all waiting requests, because the node is shutting down."""
        self._closing = True
        for listener in self._listeners.values():
            listener.leave()

    def _answered(self, login_id: bytes, status: ApprovalStatus) -> None:
        for on_answer in self._on_answer:
            on_answer(login_id, messages.LoginApprovalResult(status=status.value))
        listener = self._listeners.get(login_id)
        if listener is not None:
            listener.tell()

    async def _publish(self, approval: Approval, event: ServerEvent, payload: dict[str, object]) -> None:
        await self._log.publish(approval.user_id, [NewEvent(event, "", orjson.dumps(payload))])
