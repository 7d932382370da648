"""The answer to a login, by whichever way in: tokens in the form they are to travel in, or a second factor."""

from auth.admission import LoggedIn, MfaPending
from auth.errors import AccountLocked, Conflict, EmailNotVerified, OriginNotAllowed, SessionLimitReached
from auth.http.identity import Identity
from auth.http.routing import Call
from auth.http.schemas import LoginAnswer, MfaAnswer
from auth.models import TokenDelivery
from auth.views import SessionView, UserView

# By which every way in can end, whatever its first factor: `Admission`, and the check of cookies' origin.
LOGIN_REFUSALS = (AccountLocked, Conflict, EmailNotVerified, SessionLimitReached, OriginNotAllowed)


async def login_answer(identity: Identity, call: Call, result: LoggedIn | MfaPending) -> LoginAnswer | MfaAnswer:
    """What the caller is told; cookies are set on the way where the login asked for them."""
    if isinstance(result, MfaPending):
        return MfaAnswer(mfa_token=result.mfa_token, methods=result.methods, expires_at=result.expires_at)
    return await tokens_answer(identity, call, result)


async def tokens_answer(identity: Identity, call: Call, result: LoggedIn) -> LoginAnswer:
    """The answer to a login that is whole."""
    session, delivery = result.session, result.session.delivery
    await identity.hand_out_login(call.request, session, result.tokens)
    return LoginAnswer.of(
        result.tokens,
        access=delivery is not TokenDelivery.COOKIES,
        refresh=delivery is TokenDelivery.BODY,
        user=UserView.of(result.user),
        session=SessionView.of(session, current_session_id=session.session_id, online=False),
    )
