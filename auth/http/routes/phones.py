"""Phone endpoints: login with SMS codes, and the account's phone number."""

from auth.core.errors import (
    Conflict,
    CsrfFailed,
    EmailNotVerified,
    InvalidCode,
    InvalidToken,
    NotFound,
    OriginNotAllowed,
    SessionExpired,
    SessionRevoked,
    StepUpRequired,
    TokenExpired,
)
from auth.core.models import Principal, TokenDelivery
from auth.core.views import UserView
from auth.http.identity import HttpIdentity, known_device
from auth.http.routes.login_answer import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas.accounts import CodeSentAnswer, SendCodeRequest, VerifyCodeRequest
from auth.http.schemas.common import LoginAnswer, MfaAnswer, Nothing, UserAnswer
from auth.login.phones.login import PhoneLogin
from auth.login.phones.manage import OwnPhone

# Errors for callers with a token. It is optional on these endpoints, but an invalid one is rejected.
BY_TOKEN = (InvalidToken, TokenExpired, SessionRevoked, SessionExpired, CsrfFailed, OriginNotAllowed)

# With credentials, the number is added to the account; without them, the call is a login.
TO_ADD = (("bearer",), ("cookie", "csrf"))


class PhoneRoutes:
    """Endpoints for SMS codes. They respond with 404 unless `enabled`, that is, if no SMS sender is configured."""

    tag = "Phone"

    def __init__(self, login: PhoneLogin, own: OwnPhone, identity: HttpIdentity, *, enabled: bool) -> None:
        self._login = login
        self._own = own
        self._identity = identity
        self._enabled = enabled

    @endpoint(
        "POST",
        "/phone/send-otp",
        summary="Send a code by SMS",
        public=True,
        status=202,
        message="If the number can be used, a code has been sent.",
        errors=(NotFound, StepUpRequired, EmailNotVerified, *BY_TOKEN),
        credentials=TO_ADD,
    )
    async def send_code(self, call: Call, body: SendCodeRequest) -> CodeSentAnswer:
        """Send a login code, responding identically whether or not the number is registered.

        For a logged-in user, send a code that adds the number to the account.
        """
        principal = await self._principal(call)
        if principal is None:
            request = await self._login.ask(
                body.phone_number, device_cookie=known_device(call.request), client=call.client
            )
        else:
            request = await self._own.ask(principal, body.phone_number, client=call.client)
        return CodeSentAnswer(
            request_id=request.request_id,
            expires_at=request.expires_at,
            resend_after_ms=round(request.resend_after.total_seconds() * 1000),
        )

    @endpoint(
        "POST",
        "/phone/verify-otp",
        summary="Log in with an SMS code, or add the number",
        public=True,
        errors=(NotFound, InvalidCode, StepUpRequired, Conflict, *LOGIN_REFUSALS, *BY_TOKEN),
        credentials=TO_ADD,
    )
    async def verify_code(self, call: Call, body: VerifyCodeRequest) -> LoginAnswer | MfaAnswer | UserAnswer:
        """Accepts the code once, within five attempts. For a logged-in user, adds the number to the account."""
        principal = await self._principal(call)
        if principal is not None:
            user = await self._own.confirm(
                principal, body.phone_number, code=body.otp, request_id=body.request_id, client=call.client
            )
            return UserAnswer(user=UserView.of(user))
        delivery = TokenDelivery(body.delivery)
        self._identity.check_login_origin(call.request, delivery)
        result = await self._login.login(
            body.phone_number,
            code=body.otp,
            request_id=body.request_id,
            device_name=body.device_name,
            delivery=delivery,
            device_cookie=known_device(call.request),
            client=call.client,
        )
        return await login_answer(self._identity, call, result)

    @endpoint(
        "DELETE",
        "/phone",
        summary="Remove the number from my account",
        errors=(NotFound, StepUpRequired, Conflict),
    )
    async def remove(self, call: Call, _: Nothing) -> UserAnswer:
        """Succeeds if there is none. Rejected for the last login method."""
        self._require_enabled()
        return UserAnswer(user=UserView.of(await self._own.remove(call.principal, client=call.client)))

    async def _principal(self, call: Call) -> Principal | None:
        self._require_enabled()
        return await self._identity.principal_if_any(call.request, call.client)

    def _require_enabled(self) -> None:
        if not self._enabled:
            raise NotFound
