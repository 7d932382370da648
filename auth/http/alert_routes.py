"""Alerts over HTTP: "this wasn't me", as the page says it that a mailed link leads to."""

from auth.alerts import NotMe
from auth.errors import InvalidToken
from auth.http.routing import Call, endpoint
from auth.http.schemas import NotMeRequest, RevokedAnswer
from auth.views import DeliveryView


class AlertRoutes:
    """Endpoints for whoever was told of a login."""

    def __init__(self, not_me: NotMe) -> None:
        self._not_me = not_me

    @endpoint(
        "POST",
        "/alerts/not-me",
        summary="End a login that was not mine",
        tag="Sessions",
        public=True,
        body=NotMeRequest,
        answer=RevokedAnswer,
        errors=(InvalidToken,),
    )
    async def not_me(self, call: Call, body: NotMeRequest) -> RevokedAnswer:
        """Following a link that was followed before ends nothing more, and succeeds."""
        revoked = await self._not_me.by_link(body.token, client=call.client)
        return RevokedAnswer(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))
