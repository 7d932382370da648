"""Endpoints for alerts: dismiss one; and those of mailed links: end a login, undo an added factor."""

from auth.alerts.alerts import Dismissals, NotMe
from auth.alerts.factor_removal import FactorRemoval, Removal
from auth.core.errors import Conflict, Forbidden, InvalidToken, NotFound
from auth.core.views import DeviceView, LocationView
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    Empty,
    Nothing,
    NotMeRequest,
    RemovedFactorsAnswer,
    ReportedLoginAnswer,
    RevokedAnswer,
    UndoRequest,
)


class AlertRoutes:
    """Endpoints for users who were alerted."""

    tag = "Second factor"

    def __init__(self, not_me: NotMe, dismissals: Dismissals, removal: FactorRemoval) -> None:
        self._not_me = not_me
        self._dismissals = dismissals
        self._removal = removal

    @endpoint(
        "POST",
        "/alerts/not-me",
        summary="End a login that was not mine",
        tag="Sessions",
        public=True,
        errors=(InvalidToken,),
    )
    async def not_me(self, call: Call, body: NotMeRequest) -> RevokedAnswer:
        """Idempotent: a link that was used before succeeds and ends nothing."""
        revoked = await self._not_me.by_link(body.token, client=call.client)
        return RevokedAnswer.of(revoked)

    @endpoint(
        "DELETE",
        "/sessions/{sessionId}/alerts",
        summary="Dismiss the alerts about a device",
        tag="Sessions",
        errors=(NotFound, Forbidden),
    )
    async def dismiss(self, call: Call, _: Nothing) -> Empty:
        """For every device of the user. Idempotent. A session cannot dismiss alerts about itself."""
        session_id = call.request.match_info["sessionId"]
        await self._dismissals.dismiss(call.principal, session_id, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/alerts/not-me/login",
        summary="Get the login that an alert mail is about",
        tag="Sessions",
        public=True,
        errors=(InvalidToken,),
    )
    async def reported_login(self, _call: Call, body: NotMeRequest) -> ReportedLoginAnswer:
        """For the page that asks "Was this you?". Changes nothing, and does not use up the link."""
        login = await self._not_me.login_of(body.token)
        session = login.session
        return ReportedLoginAnswer(
            device=DeviceView.of(session.device),
            ip=session.ip,
            location=LocationView.of(session.location) if session.location else None,
            logged_in_at=session.logged_in_at,
            live=login.live,
        )

    @endpoint(
        "POST",
        "/factors/undo",
        summary="Remove a login method or factor I did not add",
        public=True,
        errors=(InvalidToken, Conflict),
    )
    async def undo(self, call: Call, body: UndoRequest) -> RemovedFactorsAnswer:
        """Ends all sessions. Idempotent: a link that was used before succeeds and changes nothing."""
        return removed_factors(await self._removal.undo(body.token, client=call.client))


def removed_factors(removal: Removal) -> RemovedFactorsAnswer:
    """Build the response to a removal of factors."""
    return RemovedFactorsAnswer.of(removal.revoked, removed=removal.removed, kept=removal.kept)
