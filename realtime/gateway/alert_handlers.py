"""Socket events about other logins: approval answers, approval requests, and "this wasn't me" reports."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.alerts.alerts import NotMe
from auth.alerts.approvals import Approvals
from auth.core.views import DeliveryView, View
from realtime.gateway.waiting_logins import Serve as ServeWaiting
from realtime.gateway.waiting_logins import WaitingSocket
from realtime.hub import Connection
from realtime.protocol import approval_messages, messages
from realtime.protocol.messages import ClientEvent

Serve = Callable[[Connection, Any], Awaitable[View]]


class AlertHandlers:
    """Serves `login-approval-answer` and `alert-not-me` on live sockets, `approval-request` on waiting ones."""

    def __init__(self, approvals: Approvals, not_me: NotMe) -> None:
        self._approvals = approvals
        self._not_me = not_me
        self.served: Mapping[str, Serve] = {
            ClientEvent.LOGIN_APPROVAL_ANSWER: self._answer,
            ClientEvent.ALERT_NOT_ME: self._report_not_me,
        }
        self.served_waiting: Mapping[str, ServeWaiting] = {ClientEvent.APPROVAL_REQUEST: self._request}

    async def _answer(self, connection: Connection, asked: approval_messages.LoginApprovalAnswer) -> View:
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
        return approval_messages.LoginApprovalAnswered(
            status=answered.status.value,
            try_again=True if answered.try_again else None,
            revoked=revoked.count if revoked else None,
            delivery=DeliveryView.of(revoked.delivery) if revoked else None,
        )

    async def _request(self, waiting: WaitingSocket, request: approval_messages.ApprovalRequest) -> View:
        asked = await self._approvals.ask(
            waiting.mfa_token, can_renumber=request.can_renumber, client=waiting.client
        )
        return approval_messages.ApprovalRequested(
            number=asked.number, status=asked.status.value, expires_at=asked.expires_at
        )

    async def _report_not_me(self, connection: Connection, asked: messages.AlertNotMe) -> View:
        delivery = await self._not_me.by_device(connection.principal, asked.session_id, client=connection.client)
        return messages.SessionRevokeDone(delivery=DeliveryView.of(delivery))
