"""The two ends of a visit to a provider, as a browser walks them: away from a page of ours, and back to one.

Both answer with a redirect to a path of this site or, when the visit begins, to the provider. What went wrong is a
code in the query of `/`; the token of a login that waits for its second factor is in the fragment, which no server
and no log ever sees.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from aiohttp import web

from auth.admission import MfaPending
from auth.clock import iso
from auth.errors import AuthError, FieldError, InvalidRequest, InvalidToken, Unavailable
from auth.http.context import CLIENT, set_cookies
from auth.http.cookies import VISIT_COOKIE, SetCookie
from auth.http.identity import Identity
from auth.http.pages import is_prefetch
from auth.http.second_name import SecondName
from auth.linked_identities import LinkedIdentities
from auth.models import Client, TokenDelivery
from auth.oauth.claims import Claims
from auth.oauth.flow import local_path
from auth.oauth.flows import VISIT_LIFE, Begun, ProviderFlows, Visit
from auth.oauth.provider import Callback
from auth.provider_login import ProviderLogin
from auth.rate_limits import RateLimits

DELIVERIES = {delivery.value: delivery for delivery in (TokenDelivery.COOKIE, TokenDelivery.COOKIES)}


class ProviderPages:
    """The pages `start` and `callback` of every provider."""

    def __init__(
        self,
        *,
        flows: ProviderFlows,
        login: ProviderLogin,
        identities: LinkedIdentities,
        identity: Identity,
        limits: RateLimits,
        second_name: SecondName,
    ) -> None:
        self._flows = flows
        self._login = login
        self._identities = identities
        self._identity = identity
        self._limits = limits
        self._second_name = second_name

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Send the browser to the provider; not one that only prefetches, which would end a visit under way."""
        if is_prefetch(request.headers):
            raise Unavailable(retry_after_seconds=1)
        provider_id = request.match_info["provider"]
        self._flows.provider(provider_id)
        visit = Visit(read_delivery(request.query), read_return_to(request.query.get("returnTo")))
        try:
            await self._limits.hit("provider", request[CLIENT].ip)
            second_name = self._second_name.is_asked(request)
            begun = await self._flows.begin(provider_id, visit, second_name=second_name)
        except AuthError as refusal:
            return _see_other(f"/?{urlencode({'login': refusal.code})}")
        send_visit_cookie(request, begun)
        return _see_other(begun.url)

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Take the browser back from the provider, where need be under the name that it left by."""
        provider_id = request.match_info["provider"]
        self._flows.provider(provider_id)
        if elsewhere := self._second_name.way_back(request):
            return _see_other(elsewhere)
        secret = request.cookies.get(VISIT_COOKIE, "")
        client: Client = request[CLIENT]
        visit: Visit | None = None
        try:
            callback = read_callback(request)
            visit = await self._flows.resume(provider_id, secret, callback.state, client=client)
            set_cookies(request, [SetCookie(VISIT_COOKIE, "", 0, same_site="Lax")])
            claims = await self._flows.identify(provider_id, visit, secret, callback, client=client)
            return await self._finish(request, provider_id, visit, claims)
        except AuthError as refusal:
            return _see_other(_refused(refusal, visit))

    async def _finish(
        self, request: web.Request, provider_id: str, visit: Visit, claims: Claims
    ) -> web.StreamResponse:
        client: Client = request[CLIENT]
        if visit.link is not None:
            await self._identities.link(provider_id, visit.link, claims, client=client)
            return _see_other(visit.return_to or f"/?{urlencode({'linked': provider_id})}")
        result = await self._login.log_in(provider_id, claims, delivery=visit.delivery, client=client)
        if isinstance(result, MfaPending):
            return _see_other(_second_factor(result, visit))
        await self._identity.hand_out_login(request, result.session, result.tokens)
        return _see_other(visit.return_to or "/")


def read_callback(request: web.Request) -> Callback:
    """What the browser brought. Raises `InvalidToken` for a parameter that comes twice (RFC 6749, section 3.1)."""
    query = request.query
    for name in ("state", "code", "iss", "error"):
        if len(query.getall(name, [])) > 1:
            raise InvalidToken
    return Callback(
        state=query.get("state", ""), code=query.get("code"), issuer=query.get("iss"), error=query.get("error")
    )


def read_delivery(query: Mapping[str, str]) -> TokenDelivery:
    """The form in which a login by redirect can hand tokens out. Raises `InvalidRequest` for another."""
    delivery = DELIVERIES.get(query.get("delivery", TokenDelivery.COOKIES.value))
    if delivery is None:
        raise InvalidRequest(errors=[FieldError("delivery", "must be cookie or cookies")])
    return delivery


def read_return_to(text: str | None) -> str | None:
    """Where to end. Raises `InvalidRequest` for anything but a path of this site: an open redirect."""
    if text is None:
        return None
    path = local_path(text)
    if path is None:
        raise InvalidRequest(errors=[FieldError("returnTo", "must be a path of this site")])
    return path


def send_visit_cookie(request: web.Request, begun: Begun) -> None:
    """Give the browser the secret of its visit. Lax: it comes back from another site."""
    cookie = SetCookie(VISIT_COOKIE, begun.secret, round(VISIT_LIFE.total_seconds()), same_site="Lax")
    set_cookies(request, [cookie])


def _second_factor(pending: MfaPending, visit: Visit) -> str:
    told = {
        "mfa": pending.mfa_token,
        "methods": ",".join(pending.methods),
        "expiresAt": iso(pending.expires_at),
    }
    if visit.return_to is not None:
        told["returnTo"] = visit.return_to
    return f"/#{urlencode(told, quote_via=quote, safe=',')}"


def _refused(refusal: AuthError, visit: Visit | None) -> str:
    if visit is not None and visit.link is not None:
        return f"/?{urlencode({'linked': '0', 'code': refusal.code})}"
    return f"/?{urlencode({'login': refusal.code})}"


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})
