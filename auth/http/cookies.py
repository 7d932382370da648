"""Tokens in cookies: names and attributes, the CSRF token, and which origins may act by cookie.

Pure functions, used by HTTP and by the socket's handshake alike. Threats and what meets them:
- a foreign site makes the browser send a request: SameSite=Strict, the Origin policy and the CSRF token,
  each enough on its own;
- a sibling subdomain plants a cookie of its own: the `__Host-` prefix, and a CSRF token that is bound to
  the session by HMAC instead of merely being equal in cookie and header;
- a script reads the tokens: HttpOnly.
"""

import hmac
import math
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from auth.errors import CsrfFailed, OriginNotAllowed
from auth.models import IssuedTokens, TokenDelivery

# The browser keeps `__Host-` cookies only with Secure, Path=/ and no Domain: no sibling host can set them.
# Chromium and Firefox take them on http://127.0.0.1 and http://localhost, too.
ACCESS_COOKIE = "__Host-vigil_access"
REFRESH_COOKIE = "__Host-vigil_refresh"
# Delivery `cookie` has a name of its own: with it alone no request is answered, only POST /refresh.
REFRESH_ONLY_COOKIE = "__Host-vigil_refresh_only"
# The secret of a visit to a provider (auth/oauth/flows.py), for as long as the visit lasts.
VISIT_COOKIE = "__Host-vigil_visit"
CSRF_COOKIE = "csrf"
CSRF_HEADER = "X-CSRF-Token"

TOKEN_COOKIES = (ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE)
ALL_COOKIES = (*TOKEN_COOKIES, CSRF_COOKIE)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# `same-site` is not among them: a sibling subdomain is not us. Allowed ones send an Origin.
TRUSTED_FETCH_SITES = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One Set-Cookie header; `max_age` 0 removes the cookie."""

    name: str
    value: str
    max_age: int
    same_site: Literal["Strict", "Lax"] = "Strict"

    @property
    def header(self) -> str:
        """The header's value."""
        http_only = "" if self.name == CSRF_COOKIE else "; HttpOnly"
        attributes = f"Max-Age={self.max_age}; Path=/; Secure{http_only}; SameSite={self.same_site}"
        return f"{self.name}={self.value}; {attributes}"

    def __repr__(self) -> str:
        return f"SetCookie({self.name}=…)"


def token_cookies(
    tokens: IssuedTokens, delivery: TokenDelivery, *, csrf: str, now: datetime
) -> tuple[SetCookie, ...]:
    """The cookies that carry `tokens` in `delivery`, and the removal of the other form's."""
    refresh_age = _seconds_until(tokens.refresh_token_expires_at, now)
    access_age = _seconds_until(tokens.access_token_expires_at, now)
    if delivery is TokenDelivery.BODY:
        return ()
    if delivery is TokenDelivery.COOKIE:
        return (
            SetCookie(REFRESH_ONLY_COOKIE, tokens.refresh_token, refresh_age),
            SetCookie(CSRF_COOKIE, csrf, refresh_age),
            SetCookie(ACCESS_COOKIE, "", 0),
            SetCookie(REFRESH_COOKIE, "", 0),
        )
    return (
        SetCookie(ACCESS_COOKIE, tokens.access_token, access_age),
        SetCookie(REFRESH_COOKIE, tokens.refresh_token, refresh_age),
        SetCookie(CSRF_COOKIE, csrf, refresh_age),
        SetCookie(REFRESH_ONLY_COOKIE, "", 0),
    )


def cleared_cookies() -> tuple[SetCookie, ...]:
    """The removal of every cookie of ours."""
    return tuple(SetCookie(name, "", 0) for name in ALL_COOKIES)


def csrf_token(key: bytes, session_id: str) -> str:
    """The CSRF token of a session: nobody without `key` can make one for it."""
    tag = hmac.digest(key, b"csrf\0" + session_id.encode(), "sha256")
    return urlsafe_b64encode(tag).rstrip(b"=").decode()


def check_csrf(*, key: bytes, session_id: str, presented: str | None) -> None:
    """Raise `CsrfFailed` unless `presented` is the session's CSRF token."""
    expected = csrf_token(key, session_id)
    if presented is None or not hmac.compare_digest(expected.encode(), presented.encode("utf-8", "replace")):
        raise CsrfFailed


def check_origin(*, origin: str | None, fetch_site: str | None, allowed: Collection[str]) -> None:
    """Raise `OriginNotAllowed` unless a request that acts by cookie comes from an allowed place.

    Browsers send Origin with every unsafe method and every WebSocket handshake. Without one,
    Sec-Fetch-Site decides; without both, the caller is no browser and no cookie was sent unasked.
    """
    if origin is not None:
        if origin.lower() not in allowed:
            raise OriginNotAllowed
    elif fetch_site is not None and fetch_site.lower() not in TRUSTED_FETCH_SITES:
        raise OriginNotAllowed


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(0, math.ceil((moment - now).total_seconds()))
