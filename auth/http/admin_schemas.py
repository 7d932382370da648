"""What administrators send and are shown."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints

from auth.administration import Overview, SeenUser, TrailEvent
from auth.http.schemas import RevokedAnswer
from auth.views import (
    Counter,
    Input,
    Moment,
    Query,
    QueryBool,
    QueryInt,
    QueryMoment,
    SessionView,
    Text,
    UserView,
    View,
    omittable,
)

# What an id or a cursor of ours may at most be as long as.
Name = Annotated[Text, StringConstraints(min_length=1, max_length=128)]


def _bounds(schema: dict[str, Any]) -> None:
    """JSON Schema's own words for what pydantic writes behind a validator of ours in its own."""
    schema["minimum"], schema["maximum"] = schema.pop("ge"), schema.pop("le")


Limit = Annotated[QueryInt, Field(ge=1, le=200, description="How many at most.", json_schema_extra=_bounds)]
BEFORE = "The `next` of the page before."


class UsersQuery(Query):
    """Which accounts, and from where on."""

    query: Annotated[Text, StringConstraints(max_length=100)] | None = omittable(
        "How the address, the username or the name begins, in any case."
    )
    role: Name | None = omittable("Only those who have this role.")
    locked: QueryBool | None = omittable("Only those who are locked, or only those who are not.")
    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class AuditQuery(Query):
    """Which events, and from where on."""

    user_id: Name | None = omittable("Only those of this user: what they did, and what was done to them.")
    kind: Name | None = omittable("Only those of this kind.")
    since: QueryMoment | None = omittable("Only those of this moment (RFC 3339) and after.")
    until: QueryMoment | None = omittable("Only those before this moment (RFC 3339).")
    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class RolesRequest(Input):
    """The roles that the user is to have, and no others."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"roles": ["moderator"]}]})

    roles: Annotated[list[Name], Field(max_length=32, description="Names of the setting `VIGIL_ROLES`.")]


class LockRequest(Input):
    """Why, for the audit trail."""

    reason: Annotated[Text, StringConstraints(max_length=200)] | None = Field(
        None, description="For the audit trail alone; the user is not told."
    )


class AdminUserView(UserView):
    """An account, as an administrator sees it."""

    locked_at: Moment | None = Field(description="Since when nobody can log in; null: not locked.")
    deletion_at: Moment | None = Field(description="When its data are to be deleted, if its user asked for that.")
    online: bool = Field(description="Whether one of its devices has a live socket.")

    @classmethod
    def seen(cls, seen: SeenUser) -> Self:
        """The view of an account with what is known of its devices."""
        user = seen.user
        own = UserView.of(user).model_dump(exclude={"deletion_at"})
        return cls(**own, locked_at=user.locked_at, deletion_at=user.deletion_at, online=seen.online)


class UsersAnswer(View):
    """A page of accounts, the newest first."""

    users: tuple[AdminUserView, ...]
    next: str | None = Field(description="For `before` of the next page; null: this is the last.")


class AdminUserAnswer(View):
    """An account."""

    user: AdminUserView


class WholeUserAnswer(View):
    """An account, its live sessions, and the second factors that are set up."""

    user: AdminUserView
    sessions: tuple[SessionView, ...]
    factors: tuple[str, ...]


class LockedAnswer(RevokedAnswer):
    """The locked account, how many sessions ended, and what became of their sockets."""

    user: AdminUserView


class AuditEventView(View):
    """One security event. No secret is ever in one."""

    id: str
    kind: str = Field(examples=["login", "session_revoked", "admin_roles_changed"])
    at: Moment
    user_id: str | None = Field(description="Whose trail it stands in; null: of no known account.")
    session_id: str | None
    ip: str | None
    user_agent: str | None
    details: dict[str, str]

    @classmethod
    def of(cls, event: TrailEvent) -> Self:
        return cls(
            id=event.event_id,
            kind=event.kind,
            at=event.at,
            user_id=event.user_id,
            session_id=event.session_id,
            ip=event.ip,
            user_agent=event.user_agent,
            details=dict(event.details),
        )


class AuditAnswer(View):
    """A page of the audit trail, the newest first."""

    events: tuple[AuditEventView, ...]
    next: str | None = Field(description="For `before` of the next page; null: this is the last.")


class QueueView(View):
    """Background jobs, as Redis has them."""

    queued: Counter
    active: Counter
    scheduled: Counter


class OverviewAnswer(View):
    """The whole installation at a glance."""

    jobs_dashboard_url: str | None = Field(
        description="The job queue's page, on the machine of a node; null: `VIGIL_JOBS_DASHBOARD_PORT` is not set."
    )
    nodes: Counter
    sockets: Counter = Field(description="Live sockets on all nodes.")
    queue: QueueView
    roles: tuple[str, ...] = Field(description="The roles that can be given.")

    @classmethod
    def of(cls, overview: Overview, *, url: str | None, roles: tuple[str, ...]) -> Self:
        queue = QueueView(**overview.queue)
        return cls(
            jobs_dashboard_url=url, nodes=overview.nodes, sockets=overview.sockets, queue=queue, roles=roles
        )
