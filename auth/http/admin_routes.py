"""Administration over HTTP. What each act may do is the operations'; who may ask is declared here."""

from auth.account_locks import AccountLocks
from auth.administration import Administration
from auth.errors import Conflict, Forbidden, NotFound, StepUpRequired
from auth.http.admin_schemas import (
    AdminUserAnswer,
    AdminUserView,
    AuditAnswer,
    AuditEventView,
    AuditQuery,
    LockedAnswer,
    LockRequest,
    OverviewAnswer,
    RolesRequest,
    UsersAnswer,
    UsersQuery,
    WholeUserAnswer,
)
from auth.http.routing import Call, endpoint
from auth.http.schemas import DeliveryAnswer, Nothing, RevokedAnswer
from auth.models import ADMIN, MODERATOR
from auth.paging import Cursor
from auth.roles import Roles
from auth.views import DeliveryView, SessionView

TAG = "Administration"


class AdminRoutes:
    """Endpoints for administrators and moderators. `jobs_dashboard_url`: the job queue's page, if there is one."""

    def __init__(
        self,
        administration: Administration,
        roles: Roles,
        locks: AccountLocks,
        jobs_dashboard_url: str | None,
    ) -> None:
        self._administration = administration
        self._roles = roles
        self._locks = locks
        self._jobs_dashboard_url = jobs_dashboard_url

    @endpoint(
        "GET",
        "/admin/users",
        summary="Find accounts",
        tag=TAG,
        role=MODERATOR,
        query=UsersQuery,
        answer=UsersAnswer,
    )
    async def find_users(self, call: Call, query: UsersQuery) -> UsersAnswer:  # noqa: ARG002
        page = await self._administration.find(
            query=query.query or "",
            role=query.role,
            locked=query.locked,
            before=_cursor(query.before),
            limit=query.limit,
        )
        return UsersAnswer(users=tuple(map(AdminUserView.seen, page.rows)), next=_next(page.next))

    @endpoint(
        "GET",
        "/admin/users/{userId}",
        summary="One account with its sessions and factors",
        tag=TAG,
        role=MODERATOR,
        answer=WholeUserAnswer,
        errors=(NotFound,),
    )
    async def one_user(self, call: Call, _: Nothing) -> WholeUserAnswer:
        whole = await self._administration.look(call.principal, _user_id(call), client=call.client)
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
        summary="Give a user roles, and no others",
        tag=TAG,
        role=ADMIN,
        body=RolesRequest,
        answer=AdminUserAnswer,
        errors=(NotFound, Conflict, StepUpRequired),
    )
    async def set_roles(self, call: Call, body: RolesRequest) -> AdminUserAnswer:
        """Live sockets act by them at once."""
        user = await self._roles.set(call.principal, _user_id(call), body.roles, client=call.client)
        return AdminUserAnswer(user=AdminUserView.seen(await self._administration.seen(user)))

    @endpoint(
        "POST",
        "/admin/users/{userId}/lock",
        summary="Lock an account and end its sessions",
        tag=TAG,
        role=ADMIN,
        body=LockRequest,
        body_optional=True,
        answer=LockedAnswer,
        errors=(NotFound, Conflict, StepUpRequired),
    )
    async def lock(self, call: Call, body: LockRequest) -> LockedAnswer:
        user, revoked = await self._locks.lock(
            call.principal, _user_id(call), reason=body.reason, client=call.client
        )
        return LockedAnswer(
            user=AdminUserView.seen(await self._administration.seen(user)),
            revoked=revoked.count,
            delivery=DeliveryView.of(revoked.delivery),
        )

    @endpoint(
        "POST",
        "/admin/users/{userId}/unlock",
        summary="Unlock an account",
        tag=TAG,
        role=ADMIN,
        answer=AdminUserAnswer,
        errors=(NotFound, StepUpRequired),
    )
    async def unlock(self, call: Call, _: Nothing) -> AdminUserAnswer:
        user = await self._locks.unlock(call.principal, _user_id(call), client=call.client)
        return AdminUserAnswer(user=AdminUserView.seen(await self._administration.seen(user)))

    @endpoint(
        "DELETE",
        "/admin/users/{userId}/sessions",
        summary="End every session of a user",
        tag=TAG,
        role=MODERATOR,
        answer=RevokedAnswer,
        errors=(NotFound, Forbidden),
    )
    async def end_sessions(self, call: Call, _: Nothing) -> RevokedAnswer:
        """Those of an admin, only an admin ends."""
        revoked = await self._administration.end_sessions(call.principal, _user_id(call), client=call.client)
        return RevokedAnswer(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))

    @endpoint(
        "DELETE",
        "/admin/users/{userId}/sessions/{sessionId}",
        summary="End one session of a user",
        tag=TAG,
        role=MODERATOR,
        answer=DeliveryAnswer,
        errors=(NotFound, Forbidden),
    )
    async def end_session(self, call: Call, _: Nothing) -> DeliveryAnswer:
        session_id = call.request.match_info["sessionId"]
        delivery = await self._administration.end_session(
            call.principal, _user_id(call), session_id, client=call.client
        )
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint(
        "GET",
        "/admin/audit",
        summary="Read the audit trail",
        tag=TAG,
        role=ADMIN,
        query=AuditQuery,
        answer=AuditAnswer,
    )
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
        return AuditAnswer(events=tuple(map(AuditEventView.of, page.rows)), next=_next(page.next))

    @endpoint(
        "GET",
        "/admin/overview",
        summary="The whole installation at a glance",
        tag=TAG,
        role=ADMIN,
        answer=OverviewAnswer,
    )
    async def overview(self, call: Call, _: Nothing) -> OverviewAnswer:  # noqa: ARG002
        overview = await self._administration.overview()
        return OverviewAnswer.of(overview, url=self._jobs_dashboard_url, roles=self._roles.names)


def _user_id(call: Call) -> str:
    return call.request.match_info["userId"]


def _cursor(text: str | None) -> Cursor | None:
    return None if text is None else Cursor.parse(text)


def _next(cursor: Cursor | None) -> str | None:
    return None if cursor is None else str(cursor)
