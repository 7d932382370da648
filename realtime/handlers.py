"""Client event → operation → ack. The rules are in `auth`; here is only which event asks for what."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from auth.errors import AuthError, Forbidden, InvalidRequest, SessionRevoked, TokenExpired
from auth.metrics import Metrics
from auth.models import Principal, has_role
from auth.sessions import Sessions
from auth.views import DeliveryView, RefreshedView, SessionView, View, parse
from realtime import messages
from realtime.application import Application, LiveSocket, Registration
from realtime.connections import Connection, State
from realtime.engine.sockets import Received
from realtime.messages import CLIENT_EVENTS, SERVED_IN_GRACE, ClientEvent

MAX_PAYLOAD_BYTES = 64 * 1024
# Deeper than any honest payload, and far from where a handler that walks or relays it runs out of stack.
MAX_PAYLOAD_DEPTH = 32

log = structlog.get_logger()


class UnknownEvent(AuthError):
    """No such event is served."""

    code, status = "unknown_event", 400
    default_message = "There is no such event."


class Renewer(Protocol):
    """Gives a socket a new token's life."""

    hears_revocations: Callable[[], bool]

    async def settle_roles(self, connection: Connection, principal: Principal) -> None:
        """Find out which roles hold, where those of a new token are not those of the socket."""

    def renew(self, connection: Connection, principal: Principal) -> None:
        """The socket now acts as `principal`, with the roles that it has."""


class Handlers:
    """Serves one event of one socket at a time. `more`: events that are served elsewhere, by name."""

    def __init__(
        self,
        sessions: Sessions,
        application: Application | None,
        renewer: Renewer,
        *,
        more: Mapping[str, Callable[[Connection, Any], Awaitable[View]]],
        metrics: Metrics,
    ) -> None:
        self._sessions = sessions
        self._application = application
        self._renewer = renewer
        self._metrics = metrics
        self._served: dict[str, Callable[[Connection, Any], Awaitable[View]]] = {
            ClientEvent.REAUTHENTICATE: self._reauthenticate,
            ClientEvent.REFRESH: self._refresh,
            ClientEvent.SESSIONS_LIST: self._list,
            ClientEvent.SESSION_REVOKE: self._revoke,
            ClientEvent.SESSIONS_REVOKE_OTHERS: self._revoke_others,
            **more,
        }

    async def handle(self, connection: Connection, received: Received) -> None:
        """Serve an event and send its ack; whatever happens, nothing is raised."""
        try:
            ack, outcome = await self._serve(connection, received), "ok"
        except AuthError as refusal:
            ack, outcome = messages.refused(refusal), refusal.code
        except Exception:  # a defect is answered in the ack, and the socket lives on
            log.exception("event_failed", socket_id=connection.socket_id, socket_event=received.event[:64])
            ack, outcome = messages.refused(AuthError()), AuthError.code
        # A client chooses the names of unknown events: they must not become metrics of their own.
        known = received.event in self._served or self._registration(received.event) is not None
        self._metrics.socket_events.labels(received.event if known else "unknown", outcome).inc()
        self._answer(connection, received, ack)

    def _answer(self, connection: Connection, received: Received, ack: dict[str, Any]) -> None:
        try:
            received.answer(ack)
        except Exception:  # what an application's handler returned is no JSON
            log.exception("ack_failed", socket_id=connection.socket_id, socket_event=received.event[:64])
            received.answer(messages.refused(AuthError()))

    async def _serve(self, connection: Connection, received: Received) -> dict[str, Any]:
        if connection.state is State.CLOSING:
            raise SessionRevoked
        if connection.state is State.EXPIRED and received.event not in SERVED_IN_GRACE:
            raise TokenExpired
        payload = payload_of(received)
        serve = self._served.get(received.event)
        if serve is not None:
            model, _ = CLIENT_EVENTS[received.event]
            return messages.served(await serve(connection, parse(model, payload)))
        registration = self._registration(received.event)
        if registration is None:
            raise UnknownEvent
        return await self._serve_application(connection, registration, payload)

    def _registration(self, event: str) -> Registration | None:
        return self._application.handlers.get(event) if self._application else None

    async def _serve_application(
        self, connection: Connection, registration: Registration, payload: dict[str, Any]
    ) -> dict[str, Any]:
        assert self._application is not None
        role = registration.role
        if role is not None and not has_role(connection.principal.roles, role):
            log.warning("event_forbidden", user_id=connection.user_id, session_id=connection.session_id, role=role)
            raise Forbidden
        socket = LiveSocket(self._application, connection.socket_id, connection.principal, role=role)
        return {"ok": True, **(await registration.handler(socket, payload) or {})}

    async def _reauthenticate(self, connection: Connection, asked: messages.Reauthenticate) -> View:
        # A revocation that is on its way ends the socket whatever its token: Redis is asked only by a deaf node.
        heard = self._renewer.hears_revocations()
        principal = await self._sessions.authenticate(asked.token, ask=not heard, confirm=False)
        if (principal.user_id, principal.session_id) != (connection.user_id, connection.session_id):
            raise Forbidden("This token belongs to another session.")
        await self._sessions.confirm(principal)
        return await self._renew(connection, principal)

    async def _refresh(self, connection: Connection, asked: messages.Refresh) -> View:
        if self._sessions.refresh_token_session(asked.refresh_token) != connection.session_id:
            raise Forbidden("This token belongs to another session.")
        refreshed = await self._sessions.refresh(asked.refresh_token, client=connection.client)
        token = refreshed.tokens.access_token
        await self._renew(connection, await self._sessions.authenticate(token, ask=False, confirm=False))
        return RefreshedView.of(refreshed.tokens, outcome=refreshed.outcome.value)

    async def _renew(self, connection: Connection, principal: Principal) -> messages.Reauthenticated:
        await self._renewer.settle_roles(connection, principal)
        if connection.state is State.CLOSING:
            # Revoked while we were asking: no token brings the socket back.
            raise SessionRevoked
        self._renewer.renew(connection, principal)
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
    """The one object that an event may carry. Raises `InvalidRequest`."""
    if received.size > MAX_PAYLOAD_BYTES:
        raise InvalidRequest("The payload is larger than 64 KiB.")
    payload = received.arguments[0] if received.arguments else {}
    if len(received.arguments) > 1 or not isinstance(payload, dict):
        raise InvalidRequest("The payload must be one object.")
    if _is_deeper(payload, MAX_PAYLOAD_DEPTH):
        raise InvalidRequest("The payload is nested too deep.")
    return payload


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return not levels or any(
        _is_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value)
    )
