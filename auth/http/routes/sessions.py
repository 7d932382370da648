"""Session endpoints: list devices; rename one; log out one, the others or all."""

from auth.core.errors import NotFound
from auth.core.views import DeliveryView, SessionView
from auth.http.context import clear_browser_data
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    DeliveryAnswer,
    Nothing,
    RenameDeviceRequest,
    RevokedAnswer,
    SessionAnswer,
    SessionsAnswer,
)
from auth.sessions.device_rename import DeviceRename
from auth.sessions.sessions import Sessions


class SessionRoutes:
    """Endpoints for the list of devices."""

    tag = "Sessions"

    def __init__(self, sessions: Sessions, device_rename: DeviceRename) -> None:
        self._sessions = sessions
        self._device_rename = device_rename

    @endpoint("GET", "/sessions", summary="List my devices")
    async def list_sessions(self, call: Call, _: Nothing) -> SessionsAnswer:
        listed = await self._sessions.list(call.principal)
        current = call.principal.session_id
        views = tuple(
            SessionView.of(session, current_session_id=current, online=session.session_id in listed.online)
            for session in listed.sessions
        )
        return SessionsAnswer(sessions=views, count=len(views), version=listed.version)

    @endpoint("PATCH", "/sessions/{sessionId}", summary="Rename one device", errors=(NotFound,))
    async def rename_device(self, call: Call, body: RenameDeviceRequest) -> SessionAnswer:
        session_id = call.request.match_info["sessionId"]
        session, online = await self._device_rename.rename(
            call.principal, session_id, name=body.device_name, client=call.client
        )
        view = SessionView.of(session, current_session_id=call.principal.session_id, online=online)
        return SessionAnswer(session=view)

    @endpoint("DELETE", "/sessions/{sessionId}", summary="Log out one device", errors=(NotFound,))
    async def revoke_session(self, call: Call, _: Nothing) -> DeliveryAnswer:
        session_id = call.request.match_info["sessionId"]
        delivery = await self._sessions.revoke(call.principal, session_id, client=call.client)
        if session_id == call.principal.session_id:
            clear_browser_data(call.request)
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint("POST", "/sessions/revoke-others", summary="Log out all other devices")
    async def revoke_others(self, call: Call, _: Nothing) -> RevokedAnswer:
        revoked = await self._sessions.revoke_others(call.principal, client=call.client)
        return RevokedAnswer.of(revoked)

    @endpoint("POST", "/logout-all", summary="Log out all devices, including this one")
    async def logout_all(self, call: Call, _: Nothing) -> RevokedAnswer:
        revoked = await self._sessions.log_out_everywhere(call.principal, client=call.client)
        clear_browser_data(call.request)
        return RevokedAnswer.of(revoked)
