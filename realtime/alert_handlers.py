"""What a device says about a login that is not its own: that it may come in, or that it was not the user's."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.alerts import NotMe
from auth.approvals import Approvals
from auth.views import DeliveryView, View
from realtime import messages
from realtime.connections import Connection
from realtime.messages import ClientEvent
from realtime.waiting import Serve as ServeWaiting
from realtime.waiting import WaitingSocket

Serve = Callable[[Connection, Any], Awaitable[View]]


class AlertHandlers:
    """Serves `login-approval-answer` and `alert-not-me` of live sockets, `approval-request` of those that wait."""

    def __init__(self, approvals: Approvals, not_me: NotMe) -> None:
        self._approvals = approvals
        self._not_me = not_me
        self.served: Mapping[str, Serve] = {
            ClientEvent.LOGIN_APPROVAL_ANSWER: self._answer,
            ClientEvent.ALERT_NOT_ME: self._disown,
        }
        self.served_waiting: Mapping[str, ServeWaiting] = {ClientEvent.APPROVAL_REQUEST: self._ask}

    async def _answer(self, connection: Connection, asked: messages.LoginApprovalAnswer) -> View:
        principal, client = connection.principal, connection.client
        if asked.number is not None:
            answered = await self._approvals.approve(
                principal, asked.approval_id, number=asked.number, client=client
            )
        else:
            answered = await self._approvals.deny(
                principal, asked.approval_id, end_all=asked.end_all, client=client
            )
        revoked = answered.revoked
        return messages.LoginApprovalAnswered(
            status=answered.status.value,
            revoked=revoked.count if revoked else None,
            delivery=DeliveryView.of(revoked.delivery) if revoked else None,
        )

    async def _ask(self, waiting: WaitingSocket, _: messages.ApprovalRequest) -> View:
        asked = await self._approvals.ask(waiting.mfa_token, client=waiting.client)
        return messages.ApprovalRequested(
            number=asked.number, status=asked.status.value, expires_at=asked.expires_at
        )

    async def _disown(self, connection: Connection, asked: messages.AlertNotMe) -> View:
        delivery = await self._not_me.by_device(connection.principal, asked.session_id, client=connection.client)
        return messages.SessionRevokeDone(delivery=DeliveryView.of(delivery))
