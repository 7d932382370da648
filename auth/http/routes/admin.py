"""Administration endpoints. Each declares the role it requires; the operations enforce all other rules."""

from auth.admin.account_locks import AccountLocks
from auth.admin.people import Administration
from auth.admin.roles import Roles
from auth.alerts.factor_removal import FactorRemoval
from auth.core.errors import Conflict, Forbidden, NotFound, StepUpRequired
from auth.core.models import ADMIN, MODERATOR, User
from auth.core.paging import Cursor
from auth.core.views import DeliveryView, SessionView
from auth.http.routes.alerts import removed_factors
from auth.http.routing import Call, endpoint
from auth.http.schemas.admin import (
    AdminUserAnswer,
    AdminUserView,
    AuditAnswer,
    AuditEventView,
    AuditQuery,
    LockedAnswer,
    LockRequest,
    OverviewAnswer,
    PersonView,
    RolesRequest,
    UsersAnswer,
    UsersQuery,
    WholeUserAnswer,
)
from auth.http.schemas.common import DeliveryAnswer, Nothing, RemovedFactorsAnswer, RevokedAnswer


class AdminRoutes:
    """Endpoints for administrators and moderators. `jobs_dashboard_url`: the job queue's dashboard, if enabled."""

    tag = "Administration"

    def __init__(
        self,
        administration: Administration,
        roles: Roles,
        locks: AccountLocks,
        removal: FactorRemoval,
        jobs_dashboard_url: str | None,
    ) -> None:
        self._administration = administration
        self._roles = roles
        self._locks = locks
        self._removal = removal
        self._jobs_dashboard_url = jobs_dashboard_url

    @endpoint("GET", "/admin/users", summary="Find accounts", role=MODERATOR)
    async def find_users(self, call: Call, query: UsersQuery) -> UsersAnswer:
        page = await self._administration.find(
            call.principal,
            query=query.query or "",
            role=query.role,
            locked=query.locked,
            before=_cursor(query.before),
            limit=query.limit,
            client=call.client,
        )
        return UsersAnswer(users=tuple(map(AdminUserView.seen, page.rows)), next=_next(page.next))

    @endpoint(
        "GET",
        "/admin/users/{userId}",
        summary="Get an account with its sessions and factors",
        role=MODERATOR,
        errors=(NotFound,),
    )
    async def one_user(self, call: Call, _: Nothing) -> WholeUserAnswer:
        whole = await self._administration.user_details(call.principal, _user_id(call), client=call.client)
        sessions, online = whole.sessions.sessions, whole.sessions.online
        current = call.principal.session_id
        return WholeUserAnswer(
            user=AdminUserView.seen(whole.seen),
            sessions=tuple(
                SessionView.of(session, current_session_id=current, online=session.session_id in online)
                for session in sessions
            ),
            factors=whole.factors,
        )

    @endpoint(
        "PUT",
        "/admin/users/{userId}/roles",
        summary="Replace a user's roles",
        role=ADMIN,
        errors=(NotFound, Conflict, StepUpRequired),
    )
    async def set_roles(self, call: Call, body: RolesRequest) -> AdminUserAnswer:
        """The change applies to live sockets immediately."""
        user = await self._roles.set(call.principal, _user_id(call), body.roles, client=call.client)
        return AdminUserAnswer(user=await self._seen(user))

    @endpoint(
        "POST",
        "/admin/users/{userId}/lock",
        summary="Lock an account and end its sessions",
        role=ADMIN,
        body_optional=True,
        errors=(NotFound, Conflict, StepUpRequired),
    )
    async def lock(self, call: Call, body: LockRequest) -> LockedAnswer:
        user, revoked = await self._locks.lock(
            call.principal, _user_id(call), reason=body.reason, client=call.client
        )
        return LockedAnswer.of(revoked, user=await self._seen(user))

    @endpoint(
        "POST",
        "/admin/users/{userId}/unlock",
        summary="Unlock an account",
        role=ADMIN,
        errors=(NotFound, StepUpRequired),
    )
    async def unlock(self, call: Call, _: Nothing) -> AdminUserAnswer:
        user = await self._locks.unlock(call.principal, _user_id(call), client=call.client)
        return AdminUserAnswer(user=await self._seen(user))

    @endpoint(
        "DELETE",
        "/admin/users/{userId}/factors",
        summary="Remove all second factors of a user who lost them",
        role=ADMIN,
        errors=(NotFound, StepUpRequired),
    )
    async def remove_factors(self, call: Call, _: Nothing) -> RemovedFactorsAnswer:
        """Also removes passkeys, except the last login method. Ends all sessions and emails the user."""
        return removed_factors(await self._removal.by_admin(call.principal, _user_id(call), client=call.client))

    @endpoint(
        "DELETE",
        "/admin/users/{userId}/sessions",
        summary="End all sessions of a user",
        role=MODERATOR,
        errors=(NotFound, Forbidden),
    )
    async def end_sessions(self, call: Call, _: Nothing) -> RevokedAnswer:
        """Only an admin may end an admin's sessions."""
        revoked = await self._administration.end_sessions(call.principal, _user_id(call), client=call.client)
        return RevokedAnswer.of(revoked)

    @endpoint(
        "DELETE",
        "/admin/users/{userId}/sessions/{sessionId}",
        summary="End one session of a user",
        role=MODERATOR,
        errors=(NotFound, Forbidden),
    )
    async def end_session(self, call: Call, _: Nothing) -> DeliveryAnswer:
        session_id = call.request.match_info["sessionId"]
        delivery = await self._administration.end_session(
            call.principal, _user_id(call), session_id, client=call.client
        )
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint("GET", "/admin/audit", summary="Read the audit trail", role=ADMIN)
    async def audit(self, call: Call, query: AuditQuery) -> AuditAnswer:
        page = await self._administration.trail(
            call.principal,
            user_id=query.user_id,
            kind=query.kind,
            since=query.since,
            until=query.until,
            before=_cursor(query.before),
            limit=query.limit,
            client=call.client,
        )
        people = await self._administration.people_in(page.rows)
        return AuditAnswer(
            events=tuple(map(AuditEventView.of, page.rows)),
            people=tuple(map(PersonView.of, people)),
            next=_next(page.next),
        )

    @endpoint("GET", "/admin/overview", summary="Get an overview of the installation", role=ADMIN)
    async def overview(self, call: Call, _: Nothing) -> OverviewAnswer:
        overview = await self._administration.overview(call.principal, client=call.client)
        return OverviewAnswer.of(overview, url=self._jobs_dashboard_url, roles=self._roles.names)

    async def _seen(self, user: User) -> AdminUserView:
        return AdminUserView.seen(await self._administration.seen(user))


def _user_id(call: Call) -> str:
    return call.request.match_info["userId"]


def _cursor(text: str | None) -> Cursor | None:
    return None if text is None else Cursor.parse(text)


def _next(cursor: Cursor | None) -> str | None:
    return None if cursor is None else str(cursor)
