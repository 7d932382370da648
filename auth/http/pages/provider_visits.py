"""Start and callback of a login at a provider, as browser redirects.

Both redirect to a path of this site or, at the start, to the provider. Errors are a code in the query of `/`. The
token of a login that still needs its second factor is in the fragment, which no server and no log sees.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web

from auth.accounts.registration import LINK_LIFE
from auth.accounts.registration_links import new_browser_secret
from auth.core.clock import iso
from auth.core.errors import AuthError, EmailNotVerified, FieldError, InvalidRequest, InvalidToken, Unavailable
from auth.core.models import Client, TokenDelivery
from auth.core.page_links import PageLinks
from auth.http.context import CLIENT, set_cookies
from auth.http.cookies import VISIT_COOKIE, SetCookie, registration_cookie, sent_cookie
from auth.http.identity import HttpIdentity
from auth.http.pages.pages import is_prefetch
from auth.http.second_origin import SecondOrigin
from auth.login.admission import LoggedIn, MfaPending
from auth.login.providers.authorization_request import local_path
from auth.login.providers.claims import Claims
from auth.login.providers.links import LinkedIdentities
from auth.login.providers.login import ProviderLogin
from auth.login.providers.provider import Callback
from auth.login.providers.visits import VISIT_LIFE, ProviderFlows, StartedVisit, Visit
from auth.platform.rate_limits import RateLimits

log = structlog.get_logger()

DELIVERIES = {delivery.value: delivery for delivery in (TokenDelivery.COOKIE, TokenDelivery.COOKIES)}


class ProviderPages:
    """The `start` and `callback` handlers of all providers."""

    def __init__(
        self,
        *,
        flows: ProviderFlows,
        login: ProviderLogin,
        identities: LinkedIdentities,
        identity: HttpIdentity,
        limits: RateLimits,
        second_origin: SecondOrigin,
        links: PageLinks,
    ) -> None:
        self._flows = flows
        self._login = login
        self._identities = identities
        self._identity = identity
        self._limits = limits
        self._second_origin = second_origin
        self._links = links

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Redirect to the provider. Rejects prefetches, which would replace a visit in progress."""
        if is_prefetch(request.headers):
            raise Unavailable(retry_after_seconds=1)
        provider_id = request.match_info["provider"]
        self._flows.provider(provider_id)
        visit = Visit(read_delivery(request.query), read_return_to(request.query.get("returnTo")))
        try:
            await self._limits.hit("provider", request[CLIENT].ip)
            second_origin = self._second_origin.is_requested(request)
            begun = await self._flows.begin(provider_id, visit, second_origin=second_origin)
        except AuthError as refusal:
            return _see_other(self._links.at({"login": refusal.code}))
        send_visit_cookie(request, begun)
        return _see_other(begun.url)

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Handle the provider's redirect back; forwards it to the second origin if the visit started there."""
        provider_id = request.match_info["provider"]
        self._flows.provider(provider_id)
        if url := self._second_origin.redirect_url(request):
            return _see_other(url)
        secret = sent_cookie(request.headers, VISIT_COOKIE) or ""
        client: Client = request[CLIENT]
        visit: Visit | None = None
        try:
            callback = read_callback(request)
            visit = await self._flows.resume(provider_id, secret, callback.state, client=client)
            set_cookies(request, [SetCookie(VISIT_COOKIE, "", 0, same_site="Lax")])
            claims = await self._flows.identify(provider_id, visit, secret, callback, client=client)
            return await self._finish(request, provider_id, visit, claims)
        except AuthError as refusal:
            return _see_other(self._refused(refusal, visit))

    async def _finish(
        self, request: web.Request, provider_id: str, visit: Visit, claims: Claims
    ) -> web.StreamResponse:
        if visit.link is not None:
            await self._identities.link(provider_id, visit.link, claims, client=request[CLIENT])
            return _see_other(self._end(visit, {"linked": provider_id}))
        result = await self._log_in(request, provider_id, visit, claims)
        if isinstance(result, MfaPending):
            return _see_other(f"{self._links.at()}#{_mfa_fragment(result, visit)}")
        await self._identity.hand_out_login(request, result.session, result.tokens)
        return _see_other(self._end(visit, {}))

    def _end(self, visit: Visit, query: Mapping[str, str]) -> str:
        """Return the URL after a successful visit."""
        return self._links.elsewhere(visit.return_to) if visit.return_to else self._links.at(query)

    def _refused(self, refusal: AuthError, visit: Visit | None) -> str:
        if visit is not None and visit.link is not None:
            return self._links.at({"linked": "0", "code": refusal.code})
        return self._links.at({"login": refusal.code})

    async def _log_in(
        self, request: web.Request, provider_id: str, visit: Visit, claims: Claims
    ) -> LoggedIn | MfaPending:
        """Log in. If the address must be confirmed by a mailed link, set the registering browser's cookie."""
        browser = new_browser_secret()
        cookie = registration_cookie(browser, LINK_LIFE)
        try:
            result = await self._login.log_in(
                provider_id, claims, delivery=visit.delivery, client=request[CLIENT], browser=browser
            )
        except EmailNotVerified:
            set_cookies(request, [cookie])
            raise
        if isinstance(result, LoggedIn) and result.user.email_verified_at is None:
            set_cookies(request, [cookie])
        return result


def read_callback(request: web.Request) -> Callback:
    """Parse the callback's query. Raises `InvalidToken` for a repeated parameter (RFC 6749, section 3.1)."""
    query = request.query
    for name in ("state", "code", "iss", "error"):
        if len(query.getall(name, [])) > 1:
            log.info("provider_answer_refused", reason=f"callback: {name} is repeated")
            raise InvalidToken
    return Callback(
        state=query.get("state", ""), code=query.get("code"), issuer=query.get("iss"), error=query.get("error")
    )


def read_delivery(query: Mapping[str, str]) -> TokenDelivery:
    """Parse `delivery`: `cookie` or `cookies`. Raises `InvalidRequest` for other values."""
    delivery = DELIVERIES.get(query.get("delivery", TokenDelivery.COOKIES.value))
    if delivery is None:
        raise InvalidRequest(errors=[FieldError("delivery", "must be cookie or cookies")])
    return delivery


def read_return_to(text: str | None) -> str | None:
    """Parse `returnTo`. Raises `InvalidRequest` unless it is a path of this site, to prevent open redirects."""
    if text is None:
        return None
    path = local_path(text)
    if path is None:
        raise InvalidRequest(errors=[FieldError("returnTo", "must be a path of this site")])
    return path


def send_visit_cookie(request: web.Request, begun: StartedVisit) -> None:
    """Set the visit's cookie. Lax: the callback is a navigation from another site."""
    cookie = SetCookie(VISIT_COOKIE, begun.secret, round(VISIT_LIFE.total_seconds()), same_site="Lax")
    set_cookies(request, [cookie])


def _mfa_fragment(pending: MfaPending, visit: Visit) -> str:
    """Return the URL fragment with the data to finish the login."""
    values = {
        "mfa": pending.mfa_token,
        "methods": ",".join(pending.methods),
        "expiresAt": iso(pending.expires_at),
    }
    if visit.return_to is not None:
        values["returnTo"] = visit.return_to
    return urlencode(values, quote_via=quote, safe=",")


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})
