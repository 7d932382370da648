"""Forced logout with acks: each node waits for its sockets' acks, the requesting node for every node's report.
The same counts serve what a backend sends to sockets (direct.py).

A socket gets `session-revoked`, has `REVOCATION_ACK_SECONDS` to acknowledge, and is closed either way. Its node
reports each change to the requesting node, which waits equally long and counts the rest as `pending`.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import structlog

from auth.core.clock import Clock
from auth.core.models import Delivery, RevocationReason
from auth.core.tasks import Background
from auth.platform.metrics import Metrics
from realtime.broker.seal import Message
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Frame, SocketState
from realtime.protocol.messages import REVOCATION_ACK_SECONDS, Closing, ServerEvent

# A socket whose own event ended its session, by revocation or by a reused refresh token, is closed after the ack
# to that event, or after this long.
OWN_ANSWER_SECONDS = 0.25

log = structlog.get_logger()


# On the requesting node ---------------------------------------------------------------------------------------


# What a node reports of a socket once nothing more is expected of it.
SettledBy = Literal["notified", "acknowledged", "closed"]


@dataclass(slots=True, eq=False)
class Count:
    """The reports received so far on one forced logout, or on another message to sockets.

    `is_direct`: it is a message of a backend, whose answer says whether a node was late. `is_broadcast`: it went
    to all nodes, and which of them have sockets is known from their reports only.
    """

    request: str
    settled_by: SettledBy = "closed"
    is_direct: bool = False
    is_broadcast: bool = False
    expected: dict[str, int] = field(default_factory=dict)
    reports: dict[str, Message] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    # It could not be published: which nodes hold sockets is not known.
    is_unpublished: bool = False

    def delivery(self) -> Delivery:
        """The sum of all reports; the sockets of nodes that have not reported count as pending."""
        total = Delivery(incomplete=self.is_unpublished)
        late = dict.fromkeys(self.reports, 0) if self.is_broadcast else {}
        for node_id, sockets in (late | self.expected).items():
            report = self.reports.get(node_id)
            if report is None:
                total += Delivery(sockets=sockets, pending=sockets, incomplete=self.is_direct)
                continue
            counted, left = report["sockets"], report["sockets"] - report[self.settled_by]
            total += Delivery(counted, report["notified"], report["acknowledged"], report["closed"], left)
        return total

    @property
    def complete(self) -> bool:
        """Whether nothing more is expected of any socket."""
        return self.expected.keys() <= self.reports.keys() and self.delivery().pending == 0


class Counts:
    """The requests whose reports this node is waiting for."""

    def __init__(self) -> None:
        self._open: dict[str, Count] = {}

    def begin(self, settled_by: SettledBy = "closed", *, is_direct: bool = False) -> Count:
        """Start counting the reports on a new request, until `settle`."""
        count = Count(secrets.token_hex(8), settled_by, is_direct)
        self._open[count.request] = count
        return count

    def receipt(self, message: Message) -> None:
        """Record a node's report; one that arrives after `settle` is ignored."""
        count = self._open.get(message["request"])
        if count is not None:
            count.reports[message["node"]] = message
            count.changed.set()

    async def wait(self, counts: Sequence[Count]) -> None:
        """Wait until nothing more is expected of any socket, at most `REVOCATION_ACK_SECONDS`."""
        if all(count.complete for count in counts):
            return  # without a timer: what is sent to sockets of this node only
        try:
            async with asyncio.timeout(REVOCATION_ACK_SECONDS):
                for count in counts:
                    while not count.complete:
                        count.changed.clear()
                        await count.changed.wait()
        except TimeoutError:
            return

    def settle(self, counts: Sequence[Count]) -> None:
        """Stop counting reports on these."""
        for count in counts:
            self._open.pop(count.request, None)


# On the nodes that hold the sockets -------------------------------------------------------------------------


@dataclass(slots=True)
class Receipt:
    """This node's report on one request; sent to the requesting node again after each change."""

    request: str
    node: str
    sockets: int = 0
    notified: int = 0
    acknowledged: int = 0
    closed: int = 0

    def message(self) -> Message:
        """The report as a bus message. Field by field: every emit has one, and `asdict` copies deeply."""
        return {
            "t": "receipt",
            "request": self.request,
            "node": self.node,
            "sockets": self.sockets,
            "notified": self.notified,
            "acknowledged": self.acknowledged,
            "closed": self.closed,
        }


class Endings:
    """Ends this node's sockets of ended sessions; `send` delivers a receipt to a node about a user."""

    def __init__(
        self,
        emitter: Emitter,
        *,
        node_id: str,
        send: Callable[[str, str, Message], Awaitable[None]],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._emitter = emitter
        self._node_id = node_id
        self._send = send
        self._metrics = metrics
        self._clock = clock
        self._ending = Background()

    def receipt_for(self, frame: Frame) -> Receipt | None:
        """A new receipt for a revocation, or an application's event, whose origin counts receipts; else None."""
        if not frame.origin or not (frame.is_application or frame.event == ServerEvent.SESSION_REVOKED):
            return None
        return Receipt(request=frame.origin.partition(":")[2], node=self._node_id)

    async def report(self, frame: Frame, receipt: Receipt) -> None:
        """Send the receipt in its current state to the requesting node."""
        await self._send(frame.origin.partition(":")[0], frame.user_id, receipt.message())

    def acknowledged(self, frame: Frame, receipt: Receipt) -> None:
        """Count an ack, and report it."""
        receipt.acknowledged += 1
        self._ending.spawn(self.report(frame, receipt))

    def end(self, connection: Connection, frame: Frame, receipt: Receipt | None = None) -> None:
        """Send `session-revoked` to a socket, wait for its ack, and disconnect it.

        None of the socket's events is served after this call.
        """
        if connection.state is SocketState.CLOSING:
            return
        connection.state = SocketState.CLOSING
        connection.ended = True
        connection.cancel_timer()
        if receipt is not None:
            receipt.sockets += 1
            receipt.notified += 1
        self._ending.spawn(self._end(connection, frame, receipt))

    def disconnect(
        self, connection: Connection, closing: Closing, receipt: Receipt, report: Callable[[], Awaitable[None]]
    ) -> None:
        """Tell a socket why, wait for its ack, and disconnect it, so that its client reconnects if `retryable`.

        None of the socket's events is served after this call. Calls `report` after each change of `receipt`.
        """
        if connection.state is SocketState.CLOSING:
            return
        connection.state = SocketState.CLOSING
        connection.cancel_timer()
        receipt.sockets += 1
        receipt.notified += 1
        self._ending.spawn(self._disconnect(connection, closing, receipt, report))

    async def close(self) -> None:
        """Wait until all sockets that are being ended are closed."""
        await self._ending.finished()

    async def _end(self, connection: Connection, frame: Frame, receipt: Receipt | None) -> None:
        acknowledged = await self._notify(connection, frame)
        # Read once: the worker may end while the report is being sent.
        answering = connection.worker if may_await_answer(connection, frame) else None
        if answering is None:
            self._emitter.close(connection.socket_id)
        if receipt is not None:
            receipt.acknowledged += acknowledged
            receipt.closed += 1
            await self.report(frame, receipt)
        if answering is not None:
            # The pending answer waits for the count, so the socket is counted first and closed afterwards.
            await asyncio.wait({answering}, timeout=OWN_ANSWER_SECONDS)
            self._emitter.close(connection.socket_id)
        age = self._clock() - datetime.fromisoformat(frame.payload["at"])
        self._metrics.revocation_to_close.observe(max(age.total_seconds(), 0))

    async def _disconnect(
        self, connection: Connection, closing: Closing, receipt: Receipt, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._emitter.leave_rooms(connection.socket_id)
        acknowledged = await self._emitter.emit_acknowledged(
            connection.socket_id, ServerEvent.CLOSING, closing.to_wire(), seconds=REVOCATION_ACK_SECONDS
        )
        if closing.retryable:
            self._emitter.drop(connection.socket_id, closing.reason)
        else:
            self._emitter.close(connection.socket_id)
        receipt.acknowledged += acknowledged
        receipt.closed += 1
        await report()

    async def _notify(self, connection: Connection, frame: Frame) -> bool:
        """Send `session-revoked`; whether the client acknowledged it. Never raises."""
        try:
            self._emitter.leave_rooms(connection.socket_id)
            return await self._emitter.emit_acknowledged(
                connection.socket_id, frame.event, payload_for(connection, frame), seconds=REVOCATION_ACK_SECONDS
            )
        except Exception:  # the socket is closed even if it was not notified
            log.exception("revocation_not_sent", socket_id=connection.socket_id)
            return False


def may_await_answer(connection: Connection, frame: Frame) -> bool:
    """Whether the socket's own event may have ended the session: it revoked itself, or sent a reused token."""
    own = frame.payload["by"].get("sessionId") == connection.session_id
    return bool(own) or RevocationReason(frame.payload["reason"]) is RevocationReason.REFRESH_REUSED


def payload_for(connection: Connection, frame: Frame) -> dict[str, Any]:
    """The payload for one socket: with the event's id and version, and `isCurrent` set for its own session."""
    payload = frame.payload | {"eventId": frame.event_id}
    if frame.version is not None:
        payload["version"] = frame.version
    session = payload.get("session")
    if session is not None:
        payload["session"] = session | {"isCurrent": session["sessionId"] == connection.session_id}
    return payload
