"""Account endpoints: registration, address confirmation, profile."""

from auth.accounts.profile import Profile
from auth.accounts.registration import LINK_LIFE, Registration
from auth.accounts.registration_links import LinkProof, new_browser_secret
from auth.core.errors import InvalidCredentials, InvalidToken, PasswordRequired
from auth.core.models import User
from auth.core.views import UserView
from auth.http.context import set_cookies
from auth.http.cookies import registration_cookie
from auth.http.pages.mailed_links import browser_of
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    Empty,
    Nothing,
    ProfileRequest,
    RegisterRequest,
    ResendVerificationRequest,
    UserAnswer,
    VerifyEmailRequest,
)


class AccountRoutes:
    """Endpoints for accounts."""

    tag = "Account"

    def __init__(self, registration: Registration, profile: Profile) -> None:
        self._registration = registration
        self._profile = profile

    @endpoint(
        "POST",
        "/register",
        summary="Register an account",
        public=True,
        status=202,
        message="If the address is new, an e-mail with a link has been sent.",
    )
    async def register(self, call: Call, body: RegisterRequest) -> Empty:
        """Respond identically whether or not the address is registered."""
        browser = new_browser_secret()
        await self._registration.register(
            email=body.email,
            password=body.password,
            name=body.name,
            username=body.username,
            client=call.client,
            browser=browser,
        )
        set_cookies(call.request, [registration_cookie(browser, LINK_LIFE)])
        return Empty()

    @endpoint(
        "POST",
        "/verify-email",
        summary="Confirm an e-mail address",
        public=True,
        errors=(InvalidToken, PasswordRequired, InvalidCredentials),
    )
    async def verify_email(self, call: Call, body: VerifyEmailRequest) -> UserAnswer:
        """In a browser that did not register, the registration's password or a new one is also required."""
        proof = LinkProof(browser_of(call.request), body.password, body.new_password)
        by_browser = "Sec-Fetch-Site" in call.request.headers
        has_password = body.password is not None or body.new_password is not None
        user = await self._registration.verify_email(
            body.token, call.client, proof=proof if by_browser or has_password else None
        )
        return UserAnswer(user=UserView.of(user))

    @endpoint(
        "POST",
        "/resend-verification",
        summary="Send the confirmation email again",
        public=True,
        status=202,
        message="If the address is unconfirmed, an e-mail has been sent.",
    )
    async def resend_verification(self, call: Call, body: ResendVerificationRequest) -> Empty:
        await self._registration.resend(body.email, call.client)
        return Empty()

    @endpoint("GET", "/me", summary="Get my account")
    async def me(self, call: Call, _: Nothing) -> UserAnswer:
        return self._own(await self._profile.me(call.principal))

    @endpoint("PATCH", "/me", summary="Change my name or username")
    async def update_me(self, call: Call, body: ProfileRequest) -> UserAnswer:
        changes = body.model_dump(include=body.model_fields_set)
        return self._own(await self._profile.update(call.principal, **changes))

    def _own(self, user: User) -> UserAnswer:
        return UserAnswer(user=UserView.of(user, pending_email=self._profile.pending_email(user)))
