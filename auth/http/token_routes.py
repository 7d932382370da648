"""Tokens: log in, refresh, log out; in every delivery of docs/protocol.md, section 3."""

from auth.errors import (
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
from auth.http.context import clear_cookies
from auth.http.identity import Identity, bearer_token, cookie_delivery
from auth.http.login_answers import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas import Empty, LoginAnswer, LoginRequest, LogoutRequest, MfaAnswer, RefreshRequest
from auth.login import Login
from auth.models import TokenDelivery
from auth.sessions import Sessions
from auth.views import RefreshedView

BY_COOKIE = (CsrfFailed, OriginNotAllowed)


class TokenRoutes:
    """Endpoints that hand tokens out or take them back."""

    def __init__(self, login: Login, sessions: Sessions, identity: Identity) -> None:
        self._login = login
        self._sessions = sessions
        self._identity = identity

    @endpoint(
        "POST",
        "/login",
        summary="Log in",
        tag="Tokens",
        public=True,
        body=LoginRequest,
        answer=LoginAnswer,
        or_answer=MfaAnswer,
        errors=(InvalidCredentials, *LOGIN_REFUSALS),
    )
    async def login(self, call: Call, body: LoginRequest) -> LoginAnswer | MfaAnswer:
        delivery = TokenDelivery(body.delivery)
        self._identity.check_login_origin(call.request, delivery)
        result = await self._login.login(
            email=body.email,
            password=body.password,
            device_name=body.device_name,
            delivery=delivery,
            client=call.client,
        )
        return await login_answer(self._identity, call, result)

    @endpoint(
        "POST",
        "/refresh",
        aliases=("/refresh-token",),
        summary="Trade a refresh token for the next pair",
        tag="Tokens",
        public=True,
        body=RefreshRequest,
        body_optional=True,
        answer=RefreshedView,
        errors=(MissingToken, InvalidToken, SessionRevoked, SessionExpired, RefreshReused, *BY_COOKIE),
    )
    async def refresh(self, call: Call, body: RefreshRequest) -> RefreshedView:
        if body.refresh_token is not None:
            refreshed = await self._identity.refresh(body.refresh_token, call.client)
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
        "POST",
        "/logout",
        summary="End this session",
        tag="Tokens",
        public=True,
        body=LogoutRequest,
        body_optional=True,
        answer=Empty,
        message="Logged out.",
        errors=(MissingToken, InvalidToken, TokenExpired, *BY_COOKIE),
    )
    async def logout(self, call: Call, body: LogoutRequest) -> Empty:
        """Names the session by refresh token, bearer token or cookie, in this order."""
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
            pass  # it was already gone, which is what was asked for
        clear_cookies(call.request)
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
