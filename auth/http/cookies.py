"""Names, attributes and parsing of the cookies that carry tokens.

Pure functions, shared by HTTP and the socket handshake. Threats and defences:
- Cross-site requests: SameSite=Strict, the Origin check and the CSRF token (auth/http/origin_check.py); each is
  sufficient alone. If the pages are on another site than the server (`cross_site`), SameSite cannot be used; the
  cookies are Partitioned instead, so a browser sends them only under the top-level site that set them.
- A sibling subdomain sets a cookie: the `__Host-` prefix, a strict parser (`sent_cookie`), and a CSRF token bound
  to the session by HMAC, not just equal in cookie and header.
- Scripts read the tokens: HttpOnly.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from multidict import MultiMapping

from auth.clients.known_devices import KNOWN_DAYS, SECONDS_PER_DAY
from auth.core.models import IssuedTokens, TokenDelivery

# Browsers accept `__Host-` cookies only with Secure, Path=/ and no Domain, so no sibling host can set them.
# Chromium and Firefox also accept them on http://127.0.0.1 and http://localhost.
ACCESS_COOKIE = "__Host-vigil_access"
REFRESH_COOKIE = "__Host-vigil_refresh"
# Refresh token of delivery `cookie`. A separate name, because it authenticates only POST /refresh.
REFRESH_ONLY_COOKIE = "__Host-vigil_refresh_only"
# Secret of a login at a provider (auth/login/providers/visits.py); lives as long as that login.
VISIT_COOKIE = "__Host-vigil_visit"
# Secret of a browser that registered (auth/accounts/registration_links.py); lives as long as the mailed link.
REGISTRATION_COOKIE = "__Host-vigil_registration"
# Marks a device that has logged in before (auth/clients/known_devices.py). It authenticates nothing and survives
# logout. Lax: without it, the redirect back from a provider would replace it with one that knows a single account.
DEVICE_COOKIE = "__Host-vigil_device"
CSRF_COOKIE = "csrf"

TOKEN_COOKIES = (ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE)
ALL_COOKIES = (*TOKEN_COOKIES, CSRF_COOKIE)


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One Set-Cookie header. `max_age` is in seconds; 0 removes the cookie."""

    name: str
    value: str
    max_age: int
    same_site: Literal["Strict", "Lax"] = "Strict"

    def header(self, *, cross_site: bool = False) -> str:
        """The header's value. `cross_site`: pages of another site must be able to send the cookie."""
        http_only = "" if self.name == CSRF_COOKIE else "; HttpOnly"
        crosses = cross_site and self.name != VISIT_COOKIE
        same_site = "None; Partitioned" if crosses else self.same_site
        return f"{self.name}={self.value}; Max-Age={self.max_age}; Path=/; Secure{http_only}; SameSite={same_site}"

    def __repr__(self) -> str:
        return f"SetCookie({self.name}=…)"


def sent_values(headers: MultiMapping[str], name: str) -> list[str]:
    """Return the raw values of all cookies called `name` in a request's Cookie headers.

    Splits only at `;` (RFC 6265, section 4.2.1), trims only SP and HTAB, keeps quotes, and compares names
    case-sensitively. A laxer parser that splits at blanks or trims Unicode space would find a `__Host-` cookie
    inside one that a sibling host can set: `theme=x __Host-…`, or a name that begins with U+2000.
    """
    pairs = (pair.partition("=") for line in headers.getall("Cookie", ()) for pair in line.split(";"))
    return [value.strip(" \t") for found, is_pair, value in pairs if is_pair and found.strip(" \t") == name]


def sent_cookie(headers: MultiMapping[str], name: str) -> str | None:
    """Return the value of our cookie `name`; None if it is missing, empty or sent twice.

    No browser keeps two `__Host-` cookies of one name, so with duplicates at least one is not ours.
    """
    values = sent_values(headers, name)
    return (values[0] or None) if len(values) == 1 else None


def token_cookies(
    tokens: IssuedTokens, delivery: TokenDelivery, *, csrf: str, now: datetime
) -> tuple[SetCookie, ...]:
    """Return the cookies that carry `tokens` in `delivery`, and the removals of the other delivery's cookies."""
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


def registration_cookie(secret: str, life: timedelta) -> SetCookie:
    """Cookie that marks the registering browser. Lax: the link is opened from another site, the mailbox."""
    return SetCookie(REGISTRATION_COOKIE, secret, round(life.total_seconds()), same_site="Lax")


def device_cookie(value: str) -> SetCookie:
    """Known-device cookie, set after each login."""
    return SetCookie(DEVICE_COOKIE, value, KNOWN_DAYS * SECONDS_PER_DAY, same_site="Lax")


def cleared_cookies() -> tuple[SetCookie, ...]:
    """Removals of all authentication cookies."""
    return tuple(SetCookie(name, "", 0) for name in ALL_COOKIES)


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(0, math.ceil((moment - now).total_seconds()))
