"""Client event → operation → ack. Only maps events to operations; the rules are in `auth`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import structlog

from auth.core.errors import AuthError, Forbidden, InternalError, InvalidRequest, SessionRevoked, TokenExpired
from auth.core.json_values import is_deeper
from auth.core.models import Principal, has_role
from auth.core.views import DeliveryView, RefreshedView, SessionView, View, parse
from auth.operations import Operations
from auth.platform.metrics import Metrics
from auth.platform.suspension import RequestCaller, SuspensionWatch
from realtime.application import Application, LiveSocket, Registration, cancellation_as_error
from realtime.broker.bus import Bus
from realtime.delivery.push import Push
from realtime.engine.sockets import Received
from realtime.gateway.expiry import ExpiryWatch
from realtime.hub import Connection, SocketState
from realtime.protocol import messages
from realtime.protocol.messages import CLIENT_EVENTS, SERVED_IN_GRACE, ClientEvent

MAX_PAYLOAD_BYTES = 64 * 1024

log = structlog.get_logger()


class UnknownEvent(AuthError):
    """The event is not served."""

    code, status = "unknown_event", 400
    default_message = "There is no such event."


class Counted(NamedTuple):
    """An event as it is counted: its name, or `unknown`, and `ok` or the code of the error."""

    event: str
    outcome: str


class Handlers:
    """Serves client events, one at a time per socket. `more`: events served by other objects, by name."""

    def __init__(
        self,
        operations: Operations,
        application: Application | None,
        push: Push,
        expiry: ExpiryWatch,
        bus: Bus,
        suspension: SuspensionWatch,
        *,
        more: Mapping[str, Callable[[Connection, Any], Awaitable[View]]],
        metrics: Metrics,
    ) -> None:
        self._sessions = operations.sessions
        self._profile = operations.profile
        self._application = application
        self._push = push
        self._expiry = expiry
        self._bus = bus
        self._suspension = suspension
        self._metrics = metrics
        self._served: dict[str, Callable[[Connection, Any], Awaitable[View]]] = {
            ClientEvent.REAUTHENTICATE: self._reauthenticate,
            ClientEvent.SESSIONS_LIST: self._list,
            ClientEvent.SESSION_REVOKE: self._revoke,
            ClientEvent.SESSIONS_REVOKE_OTHERS: self._revoke_others,
            **more,
        }

    async def handle(self, connection: Connection, received: Received) -> Counted:
        """Serve an event, send its ack, and return how it was counted. Never raises."""
        try:
            ack = await self._serve(connection, received)
            outcome = "ok" if ack["ok"] else "refused"
        except AuthError as refusal:
            ack, outcome = messages.refused(refusal), refusal.code
        except Exception:  # a bug is reported in the ack; the socket stays open
            log.exception("event_failed", socket_id=connection.socket_id, socket_event=received.event[:64])
            ack, outcome = messages.refused(InternalError()), InternalError.code
        # Names of unknown events are chosen by the client and must not become metric labels.
        counted = Counted(self._name_in_metrics(received.event), outcome)
        self._metrics.socket_events.labels(*counted).inc()
        self._answer(connection, received, ack)
        if outcome == "ok" and received.event == ClientEvent.REFRESH:
            principal = connection.principal
            received.when_received(lambda: self._sessions.confirm_soon(principal))
        return counted

    def _answer(self, connection: Connection, received: Received, ack: dict[str, Any]) -> None:
        try:
            received.answer(ack)
        except Exception:  # the application's handler returned something that is not JSON
            log.exception("ack_failed", socket_id=connection.socket_id, socket_event=received.event[:64])
            received.answer(messages.refused(InternalError()))

    async def _serve(self, connection: Connection, received: Received) -> dict[str, Any]:
        if connection.state is SocketState.CLOSING:
            raise SessionRevoked
        if connection.state is SocketState.EXPIRED and received.event not in SERVED_IN_GRACE:
            raise TokenExpired
        payload = payload_of(received)
        if received.event == ClientEvent.REFRESH:
            return messages.served(await self._refresh(connection, parse(messages.Refresh, payload), received))
        serve = self._served.get(received.event)
        if serve is not None:
            model, _ = CLIENT_EVENTS[received.event]
            return messages.served(await serve(connection, parse(model, payload)))
        registration = self._registration(received.event)
        if registration is None:
            raise UnknownEvent
        return await self._serve_application(connection, registration, payload)

    def _registration(self, event: str) -> Registration | None:
        return self._application.registration(event) if self._application else None

    def _name_in_metrics(self, event: str) -> str:
        registration = self._registration(event)
        if event in CLIENT_EVENTS or registration is None:
            return event if event in CLIENT_EVENTS else "unknown"
        return registration.counted_as or event

    async def _serve_application(
        self, connection: Connection, registration: Registration, payload: dict[str, Any]
    ) -> dict[str, Any]:
        assert self._application is not None
        role = registration.role
        if role is not None and not has_role(connection.principal.roles, role):
            log.warning("event_forbidden", user_id=connection.user_id, session_id=connection.session_id, role=role)
            raise Forbidden
        socket = LiveSocket(
            self._application, connection.socket_id, connection.principal, client=connection.client, role=role
        )
        with cancellation_as_error():
            return {"ok": True, **(await registration.handler(socket, payload) or {})}

    async def _reauthenticate(self, connection: Connection, asked: messages.Reauthenticate) -> View:
        # A revocation received over the bus ends the socket whatever its token, so Redis is only asked while the
        # bus is silent.
        is_heard = self._bus.hears(connection.user_id)
        principal = await self._sessions.authenticate(asked.token, ask=not is_heard, confirm=False)
        if (principal.user_id, principal.session_id) != (connection.user_id, connection.session_id):
            raise Forbidden("This token belongs to another session.")
        await self._sessions.confirm(principal)
        return await self._renew(connection, principal)

    async def _refresh(self, connection: Connection, asked: messages.Refresh, received: Received) -> View:
        if self._sessions.refresh_token_session(asked.refresh_token) != connection.session_id:
            raise Forbidden("This token belongs to another session.")
        caller = RequestCaller(self._suspension, received.since, lambda: received.is_gone)
        refreshed = await self._sessions.refresh(asked.refresh_token, client=connection.client, caller=caller)
        token = refreshed.tokens.access_token
        await self._renew(connection, await self._sessions.authenticate(token, ask=False, confirm=False))
        return RefreshedView.of(refreshed.tokens, outcome=refreshed.outcome.value)

    async def _renew(self, connection: Connection, principal: Principal) -> messages.Reauthenticated:
        if principal.roles != connection.principal.roles:
            # Either the token or the socket is outdated; MongoDB decides.
            self._push.update_roles(connection, (await self._profile.me(principal)).held_roles)
        if connection.state is SocketState.CLOSING:
            # Revoked meanwhile: a new token does not reopen the socket.
            raise SessionRevoked
        self._expiry.renew(connection, principal)
        return messages.Reauthenticated(access_token_expires_at=principal.expires_at)

    async def _list(self, connection: Connection, _: messages.SessionsList) -> View:
        listed = await self._sessions.list(connection.principal)
        views = [
            SessionView.of(
                session,
                current_session_id=connection.session_id,
                online=session.session_id in listed.online,
            )
            for session in listed.sessions
        ]
        return messages.SessionsListed(sessions=tuple(views), version=listed.version)

    async def _revoke(self, connection: Connection, asked: messages.SessionRevoke) -> View:
        delivery = await self._sessions.revoke(connection.principal, asked.session_id, client=connection.client)
        return messages.SessionRevokeDone(delivery=DeliveryView.of(delivery))

    async def _revoke_others(self, connection: Connection, _: messages.SessionsRevokeOthers) -> View:
        revoked = await self._sessions.revoke_others(connection.principal, client=connection.client)
        return messages.SessionsRevokeOthersDone(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))


def payload_of(received: Received) -> dict[str, Any]:
    """The event's single payload object; {} if it has none. Raises `InvalidRequest`."""
    if received.size > MAX_PAYLOAD_BYTES:
        raise InvalidRequest("The payload is larger than 64 KiB.")
    payload = received.arguments[0] if received.arguments else {}
    if len(received.arguments) > 1 or not isinstance(payload, dict):
        raise InvalidRequest("The payload must be one object.")
    if is_deeper(payload):
        raise InvalidRequest("The payload is nested too deeply.")
    return payload
