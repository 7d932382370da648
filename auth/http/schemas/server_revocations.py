"""Request and response schemas of the revocations that backends follow."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from auth.backends.revocations import CURSOR, MAX_PAGE, RevocationPage
from auth.core.models import Revocation, RevocationReason
from auth.core.views import Moment, Query, QueryInt, View, omittable
from auth.http.schemas.admin import bounds

AfterCursor = Annotated[str, StringConstraints(pattern=f"^{CURSOR.pattern}$")]


class RevocationsQuery(Query):
    """Where to continue."""

    after: AfterCursor | None = omittable("`next` of an earlier page, or the id of an event.")
    limit: Annotated[QueryInt, Field(ge=1, le=MAX_PAGE, json_schema_extra=bounds)] = MAX_PAGE


class RevocationView(View):
    """A session that has ended: access tokens with its id as `sid` are to be refused."""

    session_id: str
    user_id: str
    reason: RevocationReason
    at: Moment
    until: Moment = Field(description="From then on all its access tokens have expired, so it can be forgotten.")

    @classmethod
    def of(cls, revocation: Revocation, *, life: timedelta) -> Self:
        return cls(
            session_id=revocation.session_id,
            user_id=revocation.user_id,
            reason=revocation.reason,
            at=revocation.at,
            until=revocation.at + life,
        )


class RevocationsAnswer(View):
    """Revocations, earliest first; or, for `Accept: text/event-stream`, a stream of them."""

    revocations: tuple[RevocationView, ...]
    next: str = Field(description="`after` of the next request; what follows may contain some that were seen.")
    more: bool = Field(description="Whether there were more when this page was read.")

    @classmethod
    def of(cls, page: RevocationPage, *, life: timedelta) -> Self:
        return cls(
            revocations=tuple(RevocationView.of(each, life=life) for each in page.revocations),
            next=str(page.next),
            more=page.has_more,
        )
