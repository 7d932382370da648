"""Phones: codes by SMS to log in, and one's own number."""

from auth.errors import (
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
from auth.http.account_schemas import CodeSentAnswer, SendCodeRequest, VerifyCodeRequest
from auth.http.identity import Identity
from auth.http.login_answers import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas import LoginAnswer, MfaAnswer, Nothing, UserAnswer
from auth.models import Principal, TokenDelivery
from auth.own_phone import OwnPhone
from auth.phone_login import PhoneLogin
from auth.views import UserView

TAG = "Phone"
# What a caller can hear who brings a token: it is asked for nowhere here, but a wrong one is not overlooked.
BY_TOKEN = (InvalidToken, TokenExpired, SessionRevoked, SessionExpired, CsrfFailed, OriginNotAllowed)


class PhoneRoutes:
    """Endpoints for codes by SMS. Where nothing can send them (`enabled`), there is nothing here."""

    def __init__(self, login: PhoneLogin, own: OwnPhone, identity: Identity, *, enabled: bool) -> None:
        self._login = login
        self._own = own
        self._identity = identity
        self._enabled = enabled

    @endpoint(
        "POST",
        "/phone/send-otp",
        summary="Send a code by SMS",
        tag=TAG,
        public=True,
        body=SendCodeRequest,
        answer=CodeSentAnswer,
        status=202,
        message="If the number can be used, a code is on its way.",
        errors=(NotFound, StepUpRequired, EmailNotVerified, *BY_TOKEN),
    )
    async def send_code(self, call: Call, body: SendCodeRequest) -> CodeSentAnswer:
        """To log in, with the same answer whether or not the number is known; for somebody who is logged in, to
        add the number to their account."""
        principal = await self._principal(call)
        if principal is None:
            request = await self._login.ask(body.phone_number, client=call.client)
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
        summary="Log in with a code by SMS, or add the number",
        tag=TAG,
        public=True,
        body=VerifyCodeRequest,
        answer=LoginAnswer,
        or_answer=(MfaAnswer, UserAnswer),
        errors=(NotFound, InvalidCode, StepUpRequired, Conflict, *LOGIN_REFUSALS, *BY_TOKEN),
    )
    async def verify_code(self, call: Call, body: VerifyCodeRequest) -> LoginAnswer | MfaAnswer | UserAnswer:
        """Takes the code once, five tries in all; for somebody who is logged in it adds the number."""
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
            client=call.client,
        )
        return await login_answer(self._identity, call, result)

    @endpoint(
        "DELETE",
        "/phone",
        summary="Take the number off my account",
        tag=TAG,
        answer=UserAnswer,
        errors=(NotFound, StepUpRequired, Conflict),
    )
    async def remove(self, call: Call, _: Nothing) -> UserAnswer:
        """Fine when there is none. Refused for the last way in."""
        self._require_enabled()
        return UserAnswer(user=UserView.of(await self._own.remove(call.principal, client=call.client)))

    async def _principal(self, call: Call) -> Principal | None:
        self._require_enabled()
        return await self._identity.principal_if_any(call.request, call.client)

    def _require_enabled(self) -> None:
        if not self._enabled:
            raise NotFound
