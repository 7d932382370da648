"""Accounts: register, confirm the address, see and change the profile."""

from auth.errors import InvalidToken
from auth.http.routing import Call, endpoint
from auth.http.schemas import (
    Empty,
    Nothing,
    ProfileRequest,
    RegisterRequest,
    ResendVerificationRequest,
    UserAnswer,
    VerifyEmailRequest,
)
from auth.profile import Profile
from auth.registration import Registration
from auth.views import UserView


class AccountRoutes:
    """Endpoints around an account."""

    def __init__(self, registration: Registration, profile: Profile) -> None:
        self._registration = registration
        self._profile = profile

    @endpoint(
        "POST",
        "/register",
        summary="Register an account",
        tag="Account",
        public=True,
        body=RegisterRequest,
        answer=Empty,
        status=202,
        message="If the address is new, a mail with a link is on its way.",
    )
    async def register(self, call: Call, body: RegisterRequest) -> Empty:
        """The answer is the same whether or not the address is known."""
        await self._registration.register(
            email=body.email,
            password=body.password,
            name=body.name,
            username=body.username,
            client=call.client,
        )
        return Empty()

    @endpoint(
        "POST",
        "/verify-email",
        summary="Confirm an e-mail address",
        tag="Account",
        public=True,
        body=VerifyEmailRequest,
        answer=UserAnswer,
        errors=(InvalidToken,),
    )
    async def verify_email(self, call: Call, body: VerifyEmailRequest) -> UserAnswer:
        user = await self._registration.verify_email(body.token, call.client)
        return UserAnswer(user=UserView.of(user))

    @endpoint(
        "POST",
        "/resend-verification",
        summary="Send the confirmation mail again",
        tag="Account",
        public=True,
        body=ResendVerificationRequest,
        answer=Empty,
        status=202,
        message="If the address waits for confirmation, a mail is on its way.",
    )
    async def resend_verification(self, call: Call, body: ResendVerificationRequest) -> Empty:
        await self._registration.resend(body.email, call.client)
        return Empty()

    @endpoint("GET", "/me", summary="Who am I", tag="Account", answer=UserAnswer)
    async def me(self, call: Call, _: Nothing) -> UserAnswer:
        return UserAnswer(user=UserView.of(await self._profile.me(call.principal)))

    @endpoint(
        "PATCH", "/me", summary="Change my name or username", tag="Account", body=ProfileRequest, answer=UserAnswer
    )
    async def update_me(self, call: Call, body: ProfileRequest) -> UserAnswer:
        changes = body.model_dump(include=body.model_fields_set)
        return UserAnswer(user=UserView.of(await self._profile.update(call.principal, **changes)))
