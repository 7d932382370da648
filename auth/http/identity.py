"""Who a request acts as: a bearer token, or cookies under the Origin policy and the CSRF token.

A bearer token beats cookies. Cookies prove nothing by themselves, since the browser sends them unasked:
see auth/http/cookies.py for the threats.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import structlog
from aiohttp import web

from auth.clock import Clock
from auth.errors import (
    AuthError,
    InvalidToken,
    MissingToken,
    RefreshReused,
    SessionExpired,
    SessionRevoked,
    TokenExpired,
    Unavailable,
)
from auth.http.context import CLIENT, clear_cookies, set_cookies
from auth.http.cookies import (
    ACCESS_COOKIE,
    CSRF_HEADER,
    REFRESH_COOKIE,
    REFRESH_ONLY_COOKIE,
    SAFE_METHODS,
    check_csrf,
    check_origin,
    csrf_token,
    token_cookies,
)
from auth.logs import also_about
from auth.models import Client, IssuedTokens, Principal, Session, TokenDelivery
from auth.rate_limits import RateLimits
from auth.session_terms import Refreshed
from auth.sessions import Sessions

log = structlog.get_logger()

# RFC 6750, section 2.1; the scheme is case-insensitive (RFC 9110, section 11.1).
BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)

# Answers after which the caller's cookies are worth nothing. `Unavailable` is not among them.
FINAL = (InvalidToken, TokenExpired, SessionRevoked, SessionExpired, RefreshReused)


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """Who may act by cookie: `csrf_key` binds the CSRF token to the session."""

    csrf_key: bytes
    allowed_origins: Collection[str]


class Identity:
    """Authenticates requests and hands tokens out in the form they are to travel in."""

    def __init__(self, sessions: Sessions, limits: RateLimits, policy: CookiePolicy, clock: Clock) -> None:
        self._sessions = sessions
        self._limits = limits
        self._policy = policy
        self._clock = clock

    async def principal(self, request: web.Request, client: Client) -> Principal:
        """Who the request acts as.

        Raises `MissingToken` when it brings nothing, and whatever is wrong with what it brings.
        """
        token = bearer_token(request)
        if token is not None:
            return await self._sessions.authenticate(token)
        if ACCESS_COOKIE not in request.cookies and REFRESH_COOKIE not in request.cookies:
            raise MissingToken
        self.check_origin(request)
        try:
            return await self._by_cookies(request, client)
        except FINAL:
            clear_cookies(request)
            raise

    async def principal_if_any(self, request: web.Request, client: Client) -> Principal | None:
        """Who the request acts as, or None when it brings nothing: for what serves both, differently.

        Raises whatever is wrong with what it brings: nobody is taken for a stranger by mistake.
        """
        try:
            principal = await self.principal(request, client)
        except MissingToken:
            return None
        also_about(user_id=principal.user_id, session_id=principal.session_id)
        return principal

    async def refresh_by_cookie(self, request: web.Request, client: Client) -> Refreshed:
        """Trade the refresh cookie for the next pair and set the new cookies."""
        token = self.refresh_cookie(request)
        self.check_origin(request)
        try:
            self._check_csrf(request, self._sessions.refresh_token_session(token))
            refreshed = await self.refresh(token, client)
        except FINAL:
            clear_cookies(request)
            raise
        self.hand_out(request, refreshed.session.session_id, refreshed.tokens, cookie_delivery(refreshed))
        return refreshed

    async def refresh(self, refresh_token: str, client: Client) -> Refreshed:
        """Trade a refresh token, within the caller's limit."""
        await self._limits.hit("refresh", client.ip)
        return await self._sessions.refresh(refresh_token, client=client)

    def refresh_cookie(self, request: web.Request) -> str:
        """The refresh token of either cookie form. Raises `MissingToken`."""
        token = request.cookies.get(REFRESH_COOKIE) or request.cookies.get(REFRESH_ONLY_COOKIE)
        if not token:
            raise MissingToken("A refresh token is needed, in the body or as a cookie.")
        return token

    def check_origin(self, request: web.Request) -> None:
        """Raise `OriginNotAllowed` for a request that acts by cookie from a place that may not.

        A safe method may come from anywhere that cannot read the answer; what names its origin is checked.
        """
        unsafe = request.method not in SAFE_METHODS
        check_origin(
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site") if unsafe else None,
            allowed=self._policy.allowed_origins,
        )

    def check_login_origin(self, request: web.Request, delivery: TokenDelivery) -> None:
        """Raise `OriginNotAllowed` for a login into cookies from a foreign page.

        *Login CSRF*: it must not log the browser in as somebody else.
        """
        if delivery is not TokenDelivery.BODY:
            self.check_origin(request)

    def check_refresh_cookie(self, request: web.Request) -> str:
        """The refresh cookie of a request that may act by it; for requests that end the session."""
        token = self.refresh_cookie(request)
        self.check_origin(request)
        self._check_csrf(request, self._sessions.refresh_token_session(token))
        return token

    def hand_out(
        self, request: web.Request, session_id: str, tokens: IssuedTokens, delivery: TokenDelivery
    ) -> None:
        """Set the cookies that `delivery` wants; none for `body`."""
        csrf = csrf_token(self._policy.csrf_key, session_id)
        set_cookies(request, token_cookies(tokens, delivery, csrf=csrf, now=self._clock()))

    async def hand_out_login(self, request: web.Request, session: Session, tokens: IssuedTokens) -> None:
        """Set the cookies of a session that has just begun, and log out the sessions whose cookies they replace.

        Nobody could use those any more, and they would stand in the list of devices for a month (ASVS 5.0, 7.2.4).
        A cookie ends the very session that it was minted for, as POST /logout would, and a forged one none. Never
        raises: the login stands, whatever becomes of what it replaces.
        """
        self.hand_out(request, session.session_id, tokens, session.delivery)
        if session.delivery is TokenDelivery.BODY:
            return
        for name in (REFRESH_COOKIE, REFRESH_ONLY_COOKIE):
            replaced = request.cookies.get(name)
            if replaced:
                await self._log_out_replaced(replaced, request[CLIENT])

    async def _log_out_replaced(self, refresh_token: str, client: Client) -> None:
        try:
            await self._sessions.log_out_by_refresh_token(refresh_token, client=client)
        except InvalidToken:
            pass  # nothing of ours, so nothing to end
        except Unavailable:
            log.warning("replaced_session_not_ended")

    async def _by_cookies(self, request: web.Request, client: Client) -> Principal:
        access_token = request.cookies.get(ACCESS_COOKIE)
        refusal: AuthError = MissingToken()
        if access_token:
            try:
                principal = await self._sessions.authenticate(access_token)
            except (TokenExpired, InvalidToken) as error:
                refusal = error
            else:
                self._check_csrf(request, principal.session_id)
                return principal
        if REFRESH_COOKIE not in request.cookies:
            raise refusal
        refreshed = await self.refresh_by_cookie(request, client)
        # The client has not received this token yet: acting with it here must not confirm it.
        return await self._sessions.authenticate(refreshed.tokens.access_token, confirm=False)

    def _check_csrf(self, request: web.Request, session_id: str) -> None:
        if request.method not in SAFE_METHODS:
            presented = request.headers.get(CSRF_HEADER)
            check_csrf(key=self._policy.csrf_key, session_id=session_id, presented=presented)


def bearer_token(request: web.Request) -> str | None:
    """The token of the Authorization header; None without one or with another scheme.

    Raises `InvalidToken` for a bearer header that is not well-formed, or more than one header.
    """
    headers = request.headers.getall("Authorization", [])
    if len(headers) > 1:
        raise InvalidToken
    scheme, _, rest = headers[0].partition(" ") if headers else ("", "", "")
    if scheme.lower() != "bearer" or not rest.strip():
        return None
    match = BEARER.fullmatch(headers[0].rstrip())
    if match is None:
        raise InvalidToken
    return match[1]


def cookie_delivery(refreshed: Refreshed) -> TokenDelivery:
    """The form of an answer to a refresh by cookie, also for a session that began in another form."""
    delivery = refreshed.session.delivery
    return TokenDelivery.COOKIE if delivery is TokenDelivery.BODY else delivery
