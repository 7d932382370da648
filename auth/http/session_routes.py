"""Sessions: see every device, log one out, log out the others, log out all."""

from auth.errors import NotFound
from auth.http.context import clear_cookies
from auth.http.routing import Call, endpoint
from auth.http.schemas import DeliveryAnswer, Nothing, RevokedAnswer, SessionsAnswer
from auth.sessions import Sessions
from auth.views import DeliveryView, SessionView


class SessionRoutes:
    """Endpoints for the list of devices."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @endpoint("GET", "/sessions", summary="My devices", tag="Sessions", answer=SessionsAnswer)
    async def list_sessions(self, call: Call, _: Nothing) -> SessionsAnswer:
        listed = await self._sessions.list(call.principal)
        current = call.principal.session_id
        views = tuple(
            SessionView.of(session, current_session_id=current, online=session.session_id in listed.online)
            for session in listed.sessions
        )
        return SessionsAnswer(sessions=views, count=len(views), version=listed.version)

    @endpoint(
        "DELETE",
        "/sessions/{sessionId}",
        summary="Log one device out",
        tag="Sessions",
        answer=DeliveryAnswer,
        errors=(NotFound,),
    )
    async def revoke_session(self, call: Call, _: Nothing) -> DeliveryAnswer:
        session_id = call.request.match_info["sessionId"]
        delivery = await self._sessions.revoke(call.principal, session_id, client=call.client)
        if session_id == call.principal.session_id:
            clear_cookies(call.request)
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint(
        "POST",
        "/sessions/revoke-others",
        summary="Log out every other device",
        tag="Sessions",
        answer=RevokedAnswer,
    )
    async def revoke_others(self, call: Call, _: Nothing) -> RevokedAnswer:
        revoked = await self._sessions.revoke_others(call.principal, client=call.client)
        return RevokedAnswer(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))

    @endpoint(
        "POST",
        "/logout-all",
        summary="Log out every device, this one too",
        tag="Sessions",
        answer=RevokedAnswer,
    )
    async def logout_all(self, call: Call, _: Nothing) -> RevokedAnswer:
        revoked = await self._sessions.log_out_everywhere(call.principal, client=call.client)
        clear_cookies(call.request)
        return RevokedAnswer(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))
