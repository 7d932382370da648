"""Login approval on the live side: requests out to the user's devices, the answer back to the device that waits.

A request goes through the user's log, so that a device that comes back within its time still hears of it; one
that comes later is not told (`push`). An answer goes to every node, for any of them may hold the one that waits.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import orjson

from auth.errors import RateLimited, Unavailable
from auth.models import Approval, ApprovalStatus
from auth.views import DeviceView, LocationView
from realtime import messages
from realtime.bus import Bus, Message
from realtime.messages import ServerEvent
from realtime.user_log import NewEvent, UserLog

# What one node keeps waiting at a time; each is a request that is answered within twenty seconds.
MOST_LISTENERS = 2_000
FULL_RETRY_SECONDS = 2.0


class Listener:
    """One that waits for an answer. Implements `auth.approvals.News`."""

    __slots__ = ("_news", "over")

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.over = False

    async def wait(self, seconds: float) -> None:
        """See `auth.approvals.News.wait`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def tell(self) -> None:
        """There is news."""
        self._news.set()

    def leave(self) -> None:
        """See `auth.approvals.News.leave`."""
        self.over = True
        self._news.set()


class LiveApprovals:
    """This node's line for approvals. Implements `auth.approvals.ApprovalLine`."""

    def __init__(self, user_log: UserLog, bus: Bus) -> None:
        self._log = user_log
        self._bus = bus
        self._listeners: dict[bytes, Listener] = {}
        self._closing = False
        # Called with what became of a login, for the sockets of this node that wait with it.
        self.on_answer: Callable[[bytes, messages.LoginApprovalResult], None] = lambda _login_id, _result: None

    async def ask(self, approval: Approval) -> None:
        """See `auth.approvals.ApprovalLine.ask`."""
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
        """See `auth.approvals.ApprovalLine.tell`."""
        if approval.answer is None:
            return
        closed = messages.LoginApprovalClosed(
            event_id=0, approval_id=approval.approval_id, status=approval.answer.value
        )
        with suppress(Unavailable):  # the devices stop asking when its time is over
            await self._publish(approval, ServerEvent.LOGIN_APPROVAL_CLOSED, closed.to_wire())
        self._answered(approval.login_id, approval.answer)
        await self._bus.send_to_others(
            {"t": "approval", "login": approval.login_id.hex(), "status": approval.answer.value}
        )

    @contextmanager
    def listen(self, login_id: bytes) -> Iterator[Listener]:
        """See `auth.approvals.ApprovalLine.listen`."""
        earlier = self._listeners.get(login_id)
        if earlier is None and len(self._listeners) >= MOST_LISTENERS:
            raise RateLimited(retry_after_seconds=FULL_RETRY_SECONDS)
        if earlier is not None:
            earlier.leave()
        listener = self._listeners[login_id] = Listener()
        # A node that stops answers at once what it is asked last.
        listener.over = self._closing
        try:
            yield listener
        finally:
            if self._listeners.get(login_id) is listener:
                del self._listeners[login_id]

    def take(self, message: Message) -> None:
        """Another node took an answer."""
        self._answered(bytes.fromhex(message["login"]), ApprovalStatus(message["status"]))

    def close(self) -> None:
        """Let everybody go who waits here: the node is about to stop."""
        self._closing = True
        for listener in self._listeners.values():
            listener.leave()

    def _answered(self, login_id: bytes, status: ApprovalStatus) -> None:
        self.on_answer(login_id, messages.LoginApprovalResult(status=status.value))
        listener = self._listeners.get(login_id)
        if listener is not None:
            listener.tell()

    async def _publish(self, approval: Approval, event: ServerEvent, payload: dict[str, object]) -> None:
        await self._log.publish(approval.user_id, [NewEvent(event, "", orjson.dumps(payload))])
