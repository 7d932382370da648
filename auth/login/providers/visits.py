"""A visit to a provider, from the redirect of the browser to its return.

A visit is a challenge whose secret is in a cookie of the browser that started it. It ends with the first response
that has its state, and is valid for ten minutes and for one provider. So a response that was started in another
browser, is repeated, or comes from another provider is refused (ASVS 5.0, 10.1.2, 10.2.1, 10.2.2; RFC 9700,
sections 4.4 and 4.7).

A refusal is audited as a failed login (ASVS 5.0, 16.3.1), or as a failed link if the visit was to link. Anyone can
send responses, so refusals beyond a limit by IP address are only logged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from auth.core.errors import AuthError, InvalidToken, NotFound, ProviderDenied, RateLimited
from auth.core.models import Client, TokenDelivery
from auth.login.providers.authorization_request import is_state_of, proofs_of, under_second_name
from auth.login.providers.claims import Claims
from auth.login.providers.exchange import error_code, failed
from auth.login.providers.provider import Callback, Provider
from auth.services import Operation, Services
from auth.stores.challenges import ChallengePurpose, Challenges

log = structlog.get_logger()

# Time for a user to log in at the provider.
VISIT_LIFE = timedelta(minutes=10)

# Errors that are a decision of the user or of the provider's rules, not a fault (RFC 6749, section 4.1.2.1; OpenID
# Connect Core 1.0, section 3.1.2.6).
DENIALS = frozenset({"access_denied", "login_required", "consent_required", "interaction_required"})


@dataclass(frozen=True, slots=True)
class Link:
    """The account and session for which a linking visit was started."""

    user_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Visit:
    """The parameters of a visit; with `link` it links the provider, otherwise it logs in."""

    delivery: TokenDelivery
    return_to: str | None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class StartedVisit:
    """The URL to redirect the browser to, and the secret with which it must return."""

    url: str
    secret: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "StartedVisit(…)"


class ProviderFlows(Operation):
    """Starts and ends visits to providers. `redirect_base`: the base of the redirect URIs."""

    def __init__(
        self, services: Services, providers: Sequence[Provider], *, challenges: Challenges, redirect_base: str
    ) -> None:
        super().__init__(services)
        self._providers: Mapping[str, Provider] = {each.provider_id: each for each in providers}
        self._challenges = challenges
        self._redirect_base = redirect_base

    @property
    def providers(self) -> Sequence[Provider]:
        """Every provider, in the order of the settings."""
        return tuple(self._providers.values())

    def provider(self, provider_id: str) -> Provider:
        """Return the provider with this id. Raises `NotFound`."""
        try:
            return self._providers[provider_id]
        except KeyError:
            raise NotFound from None

    async def begin(self, provider_id: str, visit: Visit, *, second_origin: bool = False) -> StartedVisit:
        """Start a visit. `second_origin`: mark its state as started under this machine's second name.

        Raises `NotFound`, `Unavailable` or `ProviderFailed`.
        """
        provider = self.provider(provider_id)
        now = self._clock()
        expires_at = now + VISIT_LIFE
        secret = await self._challenges.issue(
            ChallengePurpose.PROVIDER,
            user_id=visit.link.user_id if visit.link else None,
            data=_data(provider, visit),
            tries=1,
            now=now,
            expires_at=expires_at,
        )
        proofs = under_second_name(proofs_of(secret)) if second_origin else proofs_of(secret)
        url = await provider.authorization_url(proofs, self._redirect_uri(provider))
        return StartedVisit(url, secret, expires_at)

    async def resume(self, provider_id: str, secret: str, state: str, *, client: Client) -> Visit:
        """End the visit from which the browser returns.

        A response whose state is not this browser's ends no visit, so that a forged one cannot disrupt a visit in
        progress. Raises `InvalidToken` for it, and for a visit that has expired, has ended, or was to another
        provider.
        """
        provider = self.provider(provider_id)
        try:
            return await self._resume(provider, secret, state)
        except InvalidToken as refusal:
            await self._record(refusal, provider, None, client)
            raise

    async def _resume(self, provider: Provider, secret: str, state: str) -> Visit:
        if not secret or not is_state_of(secret, state):
            raise _refusal(provider, "another state" if secret else "no cookie of a visit")
        ended = await self._challenges.consume(secret, ChallengePurpose.PROVIDER, now=self._clock())
        if ended is None:
            raise _refusal(provider, "the visit is over")
        if (ended.data["provider"], ended.data["issuer"]) != (provider.provider_id, provider.issuer):
            # Mix-up attack: a provider redirects its visitors to another provider to obtain that one's code.
            log.warning("provider_mix_up", begun=ended.data["provider"], ended=provider.provider_id)
            raise _refusal(provider, "begun at another provider")
        return _visit(ended.data)

    async def identify(
        self, provider_id: str, visit: Visit, secret: str, callback: Callback, *, client: Client
    ) -> Claims:
        """Identify the user who returned. Call it once, for the visit that `resume` has ended.

        Raises `ProviderDenied`, `InvalidToken` for an expired code, `Unavailable` or `ProviderFailed`.
        """
        provider = self.provider(provider_id)
        try:
            return await self._identify(provider, secret, callback)
        except AuthError as refusal:
            await self._record(refusal, provider, visit.link, client)
            raise

    async def _identify(self, provider: Provider, secret: str, callback: Callback) -> Claims:
        await provider.check_issuer(callback.issuer)
        if callback.error is not None:
            if callback.error in DENIALS:
                raise ProviderDenied
            raise failed(provider, f"callback: {error_code(callback.error)}")
        # No length limit beyond HTTP's: codes of Azure AD B2C have up to 6,000 characters.
        if not callback.code:
            raise failed(provider, "callback: no code")
        return await provider.identify(callback.code, proofs_of(secret), self._redirect_uri(provider))

    async def _record(self, refusal: AuthError, provider: Provider, link: Link | None, client: Client) -> None:
        try:
            await self._limits.hit("provider", client.ip)
        except RateLimited:
            return  # a flood must not fill the audit trail; the refusal and the request are in the log
        await self._audit.record(
            "login_failed" if link is None else "identity_link_failed",
            user_id=link.user_id if link else None,
            session_id=link.session_id if link else None,
            client=client,
            details={"reason": refusal.code, "provider": provider.provider_id},
        )

    def _redirect_uri(self, provider: Provider) -> str:
        """One redirect URI for each provider, against mix-up attacks (RFC 9700, section 4.4.2.2)."""
        return f"{self._redirect_base}/oauth/{provider.provider_id}/callback"


def _data(provider: Provider, visit: Visit) -> dict[str, Any]:
    return {
        "provider": provider.provider_id,
        "issuer": provider.issuer,
        "delivery": visit.delivery.value,
        "returnTo": visit.return_to,
        "link": {"userId": visit.link.user_id, "sessionId": visit.link.session_id} if visit.link else None,
    }


def _visit(data: Mapping[str, Any]) -> Visit:
    link = data["link"]
    return Visit(
        delivery=TokenDelivery(data["delivery"]),
        return_to=data["returnTo"],
        link=Link(link["userId"], link["sessionId"]) if link else None,
    )


def _refusal(provider: Provider, reason: str) -> InvalidToken:
    """Return the error for a response that ends no visit. Anyone can send one, so it is logged at level info."""
    log.info("provider_answer_refused", provider=provider.provider_id, reason=f"callback: {reason}")
    return InvalidToken("This login has expired or was started in another browser. Log in again.")
