"""Token endpoints: login, refresh and logout, in all deliveries of docs/protocol.md, section 3."""

from auth.core.errors import (
    CsrfFailed,
    InvalidCredentials,
    InvalidToken,
    MissingToken,
    OriginNotAllowed,
    RefreshReused,
    SessionExpired,
    SessionRevoked,
    TokenExpired,
)
from auth.core.models import TokenDelivery
from auth.core.views import RefreshedView
from auth.http.context import clear_browser_data, clear_cookies
from auth.http.identity import HttpIdentity, bearer_token, cookie_delivery, known_device
from auth.http.routes.login_answer import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    CsrfAnswer,
    Empty,
    LoginAnswer,
    LoginRequest,
    LogoutRequest,
    MfaAnswer,
    Nothing,
    RefreshRequest,
)
from auth.login.password import Login
from auth.sessions.sessions import Sessions

BY_COOKIE = (CsrfFailed, OriginNotAllowed)
REFRESH_COOKIES = (("refreshCookie", "csrf"), ("refreshOnlyCookie", "csrf"))


class TokenRoutes:
    """Endpoints that issue and revoke tokens."""

    tag = "Tokens"

    def __init__(self, login: Login, sessions: Sessions, identity: HttpIdentity) -> None:
        self._login = login
        self._sessions = sessions
        self._identity = identity

    @endpoint("POST", "/login", summary="Log in", public=True, errors=(InvalidCredentials, *LOGIN_REFUSALS))
    async def login(self, call: Call, body: LoginRequest) -> LoginAnswer | MfaAnswer:
        delivery = TokenDelivery(body.delivery)
        self._identity.check_login_origin(call.request, delivery)
        result = await self._login.login(
            email=body.email,
            password=body.password,
            device_name=body.device_name,
            delivery=delivery,
            device_cookie=known_device(call.request),
            client=call.client,
        )
        return await login_answer(self._identity, call, result)

    @endpoint(
        "POST",
        "/refresh",
        aliases=("/refresh-token",),
        summary="Exchange a refresh token for the next token pair",
        public=True,
        body_optional=True,
        errors=(MissingToken, InvalidToken, SessionRevoked, SessionExpired, RefreshReused, *BY_COOKIE),
        credentials=REFRESH_COOKIES,
    )
    async def refresh(self, call: Call, body: RefreshRequest) -> RefreshedView:
        if body.refresh_token is not None:
            refreshed = await self._identity.refresh(call.request, body.refresh_token, call.client)
            delivery = TokenDelivery.BODY
        else:
            refreshed = await self._identity.refresh_by_cookie(call.request, call.client)
            delivery = cookie_delivery(refreshed)
        return RefreshedView.of(
            refreshed.tokens,
            access=delivery is not TokenDelivery.COOKIES,
            refresh=delivery is TokenDelivery.BODY,
            outcome=refreshed.outcome.value,
        )

    @endpoint(
        "GET",
        "/csrf",
        summary="Get the CSRF token of this browser's session",
        public=True,
        errors=(OriginNotAllowed,),
    )
    async def csrf(self, call: Call, _: Nothing) -> CsrfAnswer:
        """For pages on another host, which cannot read the cookie. Null without a refresh cookie."""
        return CsrfAnswer(csrf_token=self._identity.csrf(call.request))

    @endpoint(
        "POST",
        "/logout",
        summary="End this session",
        public=True,
        body_optional=True,
        message="Logged out.",
        errors=(MissingToken, InvalidToken, TokenExpired, *BY_COOKIE),
        credentials=(("bearer",), *REFRESH_COOKIES, ("cookie", "csrf")),
    )
    async def logout(self, call: Call, body: LogoutRequest) -> Empty:
        """The session is identified by refresh token, bearer token or cookie, in this order."""
        bearer = bearer_token(call.request)
        try:
            if body.refresh_token is not None:
                await self._sessions.log_out_by_refresh_token(body.refresh_token, client=call.client)
            elif bearer is not None:
                principal = await self._sessions.authenticate(bearer)
                await self._sessions.log_out(principal, client=call.client)
            else:
                await self._log_out_by_cookie(call)
        except (SessionRevoked, SessionExpired):
            pass  # already ended
        clear_browser_data(call.request)
        return Empty()

    async def _log_out_by_cookie(self, call: Call) -> None:
        try:
            refresh_token = self._identity.check_refresh_cookie(call.request)
            await self._sessions.log_out_by_refresh_token(refresh_token, client=call.client)
        except MissingToken:
            principal = await self._identity.principal(call.request, call.client)
            await self._sessions.log_out(principal, client=call.client)
        except InvalidToken:
            clear_cookies(call.request)
            raise
