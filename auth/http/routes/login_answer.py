"""The response to a login, shared by all login methods: tokens in the requested delivery, or a second factor."""

from auth.core.errors import AccountLocked, Conflict, EmailNotVerified, OriginNotAllowed, SessionLimitReached
from auth.core.models import TokenDelivery
from auth.core.views import SessionView, UserView
from auth.http.identity import HttpIdentity
from auth.http.routing import Call
from auth.http.schemas.common import LoginAnswer, MfaAnswer
from auth.login.admission import LoggedIn, MfaPending

# Errors common to all login methods: from `Admission` and from the Origin check for cookie delivery.
LOGIN_REFUSALS = (AccountLocked, Conflict, EmailNotVerified, SessionLimitReached, OriginNotAllowed)


async def login_answer(
    identity: HttpIdentity, call: Call, result: LoggedIn | MfaPending
) -> LoginAnswer | MfaAnswer:
    """Build the response to a login. Sets cookies if the login requested cookie delivery."""
    if isinstance(result, MfaPending):
        return MfaAnswer(mfa_token=result.mfa_token, methods=result.methods, expires_at=result.expires_at)
    return await tokens_answer(identity, call, result)


async def tokens_answer(identity: HttpIdentity, call: Call, result: LoggedIn) -> LoginAnswer:
    """Build the response to a completed login. Sets cookies if the session's delivery uses them."""
    session, delivery = result.session, result.session.delivery
    await identity.hand_out_login(call.request, session, result.tokens)
    return LoginAnswer.of(
        result.tokens,
        access=delivery is not TokenDelivery.COOKIES,
        refresh=delivery is TokenDelivery.BODY,
        user=UserView.of(result.user),
        session=SessionView.of(session, current_session_id=session.session_id, online=False),
    )
