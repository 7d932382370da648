"""Request and response schemas for administration."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints

from auth.admin.people import Overview, SeenUser, TrailEvent
from auth.core.models import User
from auth.core.views import (
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
from auth.http.schemas.common import RevokedAnswer
from auth.platform.settings.settings import MOST_ROLES

# An id, a cursor or a role name.
Name = Annotated[Text, StringConstraints(min_length=1, max_length=128)]


def bounds(schema: dict[str, Any]) -> None:
    """Rename pydantic's `ge` and `le`, which it emits after a custom validator, to JSON Schema's keywords."""
    schema["minimum"], schema["maximum"] = schema.pop("ge"), schema.pop("le")


Limit = Annotated[
    QueryInt, Field(ge=1, le=200, description="Maximum number of results.", json_schema_extra=bounds)
]
BEFORE = "The `next` value of the previous page."


class UsersQuery(Query):
    """Filters and paging of accounts."""

    query: Annotated[Text, StringConstraints(max_length=100)] | None = omittable(
        "Prefix of the address or username, or of words of the name; case-insensitive."
    )
    role: Name | None = omittable("Only accounts with this role.")
    locked: QueryBool | None = omittable(
        "`true`: only locked accounts; `false`: only accounts that are not locked."
    )
    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class AuditQuery(Query):
    """Filters and paging of audit events."""

    user_id: Name | None = omittable("Only events by or about this user.")
    kind: Name | None = omittable("Only events of this kind.")
    since: QueryMoment | None = omittable("Only events at or after this time (RFC 3339).")
    until: QueryMoment | None = omittable("Only events before this time (RFC 3339).")
    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class RolesRequest(Input):
    """The complete list of roles the user will have."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"roles": ["moderator"]}]})

    roles: Annotated[
        list[Name], Field(max_length=MOST_ROLES, description="Role names from the setting `VIGIL_ROLES`.")
    ]


class LockRequest(Input):
    """The reason for a lock."""

    reason: Annotated[Text, StringConstraints(max_length=200)] | None = Field(
        None, description="Recorded in the audit trail only; not shown to the user."
    )


class AdminUserView(UserView):
    """An account, as shown to administrators."""

    locked_at: Moment | None = Field(description="When the account was locked; null if it is not locked.")
    deletion_at: Moment | None = Field(description="When its data will be deleted, if the user requested it.")
    online: bool = Field(description="Whether any of its devices has a live socket.")

    @classmethod
    def seen(cls, seen: SeenUser) -> Self:
        """Build the view of an account, with the state of its devices."""
        user = seen.user
        own = UserView.of(user).model_dump(exclude={"deletion_at"})
        return cls(**own, locked_at=user.locked_at, deletion_at=user.deletion_at, online=seen.online)


class UsersAnswer(View):
    """A page of accounts, newest first."""

    users: tuple[AdminUserView, ...]
    next: str | None = Field(description="Value of `before` for the next page; null on the last page.")


class AdminUserAnswer(View):
    """An account."""

    user: AdminUserView


class WholeUserAnswer(View):
    """An account, its live sessions, and its second factors."""

    user: AdminUserView
    sessions: tuple[SessionView, ...]
    factors: tuple[str, ...]


class LockedAnswer(RevokedAnswer):
    """The locked account, the number of ended sessions, and the delivery to their sockets."""

    user: AdminUserView


class AuditEventView(View):
    """A security event. It never contains secrets."""

    id: str
    kind: str = Field(examples=["login", "session_revoked", "admin_roles_changed"])
    at: Moment
    user_id: str | None = Field(description="The account the event belongs to; null if none is known.")
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


class PersonView(View):
    """The names of an account."""

    user_id: str
    email: str
    name: str | None

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(user_id=user.user_id, email=user.email, name=user.name)


class AuditAnswer(View):
    """A page of the audit trail, newest first."""

    events: tuple[AuditEventView, ...]
    people: tuple[PersonView, ...] = Field(description="The accounts named in these events, except erased ones.")
    next: str | None = Field(description="Value of `before` for the next page; null on the last page.")


class QueueView(View):
    """Number of background jobs in Redis, by state."""

    queued: Counter
    active: Counter
    scheduled: Counter


class OverviewAnswer(View):
    """Overview of the installation."""

    jobs_dashboard_url: str | None = Field(
        description="The job queue's dashboard, on a node's machine; null without `VIGIL_JOBS_DASHBOARD_PORT`."
    )
    nodes: Counter
    sockets: Counter = Field(description="Live sockets on all nodes.")
    queue: QueueView
    roles: tuple[str, ...] = Field(description="The roles that can be assigned.")

    @classmethod
    def of(cls, overview: Overview, *, url: str | None, roles: tuple[str, ...]) -> Self:
        queue = QueueView(**overview.queue)
        return cls(
            jobs_dashboard_url=url, nodes=overview.nodes, sockets=overview.sockets, queue=queue, roles=roles
        )
