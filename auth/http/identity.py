"""Authentication of requests: by bearer token, or by cookies with the Origin and CSRF checks.

A bearer token takes precedence over cookies. Browsers attach cookies to any request, so cookies alone are not
sufficient; see auth/http/cookies.py for the threats and auth/http/origin_check.py for the checks.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from auth.clients.known_devices import KnownDevices
from auth.core.clock import Clock
from auth.core.errors import (
    AuthError,
    InvalidToken,
    MissingToken,
    RefreshReused,
    SessionExpired,
    SessionRevoked,
    TokenExpired,
    Unavailable,
)
from auth.core.models import Client, IssuedTokens, Principal, Session, TokenDelivery
from auth.http.context import ARRIVED, CLIENT, clear_cookies, is_disconnected, set_cookies
from auth.http.cookies import (
    ACCESS_COOKIE,
    DEVICE_COOKIE,
    REFRESH_COOKIE,
    REFRESH_ONLY_COOKIE,
    device_cookie,
    sent_cookie,
    token_cookies,
)
from auth.http.origin_check import CSRF_HEADER, SAFE_METHODS, check_csrf, check_origin, csrf_token
from auth.platform.logs import extend_log_context
from auth.platform.rate_limits import RateLimits
from auth.platform.suspension import RequestCaller, SuspensionWatch
from auth.sessions.sessions import Sessions
from auth.sessions.types import Refreshed

log = structlog.get_logger()

# RFC 6750, section 2.1; the scheme is case-insensitive (RFC 9110, section 11.1).
BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)

# Errors after which the client's cookies are useless and are cleared. `Unavailable` is not one of them.
FINAL = (InvalidToken, SessionRevoked, SessionExpired, RefreshReused)


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """Rules for requests authenticated by cookie. `csrf_keys`: see `csrf_token`; the first one signs."""

    csrf_keys: Sequence[bytes]
    allowed_origins: Collection[str]


class HttpIdentity:
    """Authenticates requests and sets token cookies for the session's delivery."""

    def __init__(
        self,
        sessions: Sessions,
        devices: KnownDevices,
        limits: RateLimits,
        policy: CookiePolicy,
        suspension: SuspensionWatch,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._devices = devices
        self._limits = limits
        self._policy = policy
        self._suspension = suspension
        self._clock = clock

    async def principal(self, request: web.Request, client: Client) -> Principal:
        """Authenticate the request.

        Raises `MissingToken` without credentials, and the matching error for invalid ones.
        """
        token = bearer_token(request)
        if token is not None:
            return await self._sessions.authenticate(token)
        if not any(sent_cookie(request.headers, name) for name in (ACCESS_COOKIE, REFRESH_COOKIE)):
            raise MissingToken
        self.check_origin(request)
        try:
            return await self._by_cookies(request, client)
        except (InvalidToken, TokenExpired):
            # Not after SessionRevoked: a login ends the session that it replaces, and this answer may arrive after
            # the cookies of that login.
            clear_cookies(request)
            raise

    async def principal_if_any(self, request: web.Request, client: Client) -> Principal | None:
        """Authenticate the request; None without credentials. For endpoints that also serve anonymous callers.

        Invalid credentials still raise, so a logged-in user is never treated as anonymous.
        """
        try:
            principal = await self.principal(request, client)
        except MissingToken:
            return None
        extend_log_context(user_id=principal.user_id, session_id=principal.session_id)
        return principal

    async def refresh_by_cookie(self, request: web.Request, client: Client) -> Refreshed:
        """Exchange the refresh cookie for the next token pair and set the new cookies."""
        token = self.refresh_cookie(request)
        self.check_origin(request)
        try:
            self._check_csrf(request, self._sessions.refresh_token_session(token))
            refreshed = await self.refresh(request, token, client)
        except FINAL:
            clear_cookies(request)
            raise
        self.hand_out(request, refreshed.session.session_id, refreshed.tokens, cookie_delivery(refreshed))
        return refreshed

    async def refresh(self, request: web.Request, refresh_token: str, client: Client) -> Refreshed:
        """Exchange a refresh token; counts against the rate limit of the client's address."""
        await self._limits.hit("refresh", client.ip)
        caller = RequestCaller(self._suspension, request[ARRIVED], lambda: is_disconnected(request))
        return await self._sessions.refresh(refresh_token, client=client, caller=caller)

    def refresh_cookie(self, request: web.Request) -> str:
        """Return the refresh token of either cookie delivery. Raises `MissingToken`."""
        token = sent_cookie(request.headers, REFRESH_COOKIE) or sent_cookie(request.headers, REFRESH_ONLY_COOKIE)
        if not token:
            raise MissingToken("A refresh token is needed, in the body or as a cookie.")
        return token

    def check_origin(self, request: web.Request) -> None:
        """Raise `OriginNotAllowed` if a request authenticated by cookie comes from a foreign page.

        Safe methods are allowed without an Origin header, since a foreign page cannot read the response; an Origin
        that is sent is always checked.
        """
        unsafe = request.method not in SAFE_METHODS
        check_origin(
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site") if unsafe else None,
            allowed=self._policy.allowed_origins,
        )

    def check_login_origin(self, request: web.Request, delivery: TokenDelivery) -> None:
        """Raise `OriginNotAllowed` for a login with cookie delivery from a foreign page.

        Prevents login CSRF: logging the browser in to the attacker's account.
        """
        if delivery is not TokenDelivery.BODY:
            self.check_origin(request)

    def check_refresh_cookie(self, request: web.Request) -> str:
        """Return the refresh cookie after the Origin and CSRF checks; for requests that end the session."""
        token = self.refresh_cookie(request)
        self.check_origin(request)
        self._check_csrf(request, self._sessions.refresh_token_session(token))
        return token

    def csrf(self, request: web.Request) -> str | None:
        """Return the CSRF token of the session in the refresh cookie; None without a valid cookie.

        For pages that cannot read the `csrf` cookie. Does not check whether the session is live.
        """
        try:
            session_id = self._sessions.refresh_token_session(self.refresh_cookie(request))
        except (MissingToken, InvalidToken):
            return None
        self.check_origin(request)
        return csrf_token(self._policy.csrf_keys[0], session_id)

    def hand_out(
        self, request: web.Request, session_id: str, tokens: IssuedTokens, delivery: TokenDelivery
    ) -> None:
        """Set the cookies for `delivery`; none for `body`."""
        csrf = csrf_token(self._policy.csrf_keys[0], session_id)
        set_cookies(request, token_cookies(tokens, delivery, csrf=csrf, now=self._clock()))

    async def hand_out_login(self, request: web.Request, session: Session, tokens: IssuedTokens) -> None:
        """Set the cookies of a new session and mark the device as known; log out the sessions they replace.

        Replaced sessions would be unusable, yet stay in the list of devices for a month (ASVS 5.0, 7.2.4). A
        cookie ends only the session it was issued for, as POST /logout would; a forged one ends none. Failing to
        end a replaced session never fails the login.
        """
        self.hand_out(request, session.session_id, tokens, session.delivery)
        remembered = self._devices.remember(known_device(request), session.user_id)
        set_cookies(request, [device_cookie(remembered)])
        if session.delivery is TokenDelivery.BODY:
            return
        for name in (REFRESH_COOKIE, REFRESH_ONLY_COOKIE):
            replaced = sent_cookie(request.headers, name)
            if replaced:
                await self._log_out_replaced(replaced, request[CLIENT])

    async def _log_out_replaced(self, refresh_token: str, client: Client) -> None:
        try:
            await self._sessions.log_out_by_refresh_token(refresh_token, client=client)
        except InvalidToken:
            pass  # not issued by this server
        except Unavailable:
            log.warning("replaced_session_not_ended")

    async def _by_cookies(self, request: web.Request, client: Client) -> Principal:
        access_token = sent_cookie(request.headers, ACCESS_COOKIE)
        refusal: AuthError = MissingToken()
        if access_token:
            try:
                principal = await self._sessions.authenticate(access_token)
            except (TokenExpired, InvalidToken) as error:
                refusal = error
            else:
                self._check_csrf(request, principal.session_id)
                return principal
        if sent_cookie(request.headers, REFRESH_COOKIE) is None:
            raise refusal
        refreshed = await self.refresh_by_cookie(request, client)
        # The client has not received this token yet, so using it here must not confirm it.
        return await self._sessions.authenticate(refreshed.tokens.access_token, confirm=False)

    def _check_csrf(self, request: web.Request, session_id: str) -> None:
        if request.method not in SAFE_METHODS:
            presented = request.headers.get(CSRF_HEADER)
            check_csrf(keys=self._policy.csrf_keys, session_id=session_id, presented=presented)


def bearer_token(request: web.Request) -> str | None:
    """Return the bearer token; None without an Authorization header or with another scheme.

    Raises `InvalidToken` for a malformed bearer header or for several Authorization headers.
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


def known_device(request: web.Request) -> str | None:
    """Return the known-device cookie, if the request has one."""
    return sent_cookie(request.headers, DEVICE_COOKIE)


def cookie_delivery(refreshed: Refreshed) -> TokenDelivery:
    """Delivery of the answer to a refresh by cookie; `cookie` for a session that began with delivery `body`."""
    delivery = refreshed.session.delivery
    return TokenDelivery.COOKIE if delivery is TokenDelivery.BODY else delivery
