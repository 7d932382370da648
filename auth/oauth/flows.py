"""A visit to a provider, from the browser's leaving to its coming back.

It is a challenge whose secret is in a cookie of the browser that began it: it ends with the first answer that
knows its state, is good for ten minutes, for one provider and for nothing else. So an answer that was begun
elsewhere, comes a second time, or is another provider's is answered for by nobody (ASVS 5.0, 10.1.2, 10.2.1,
10.2.2; RFC 9700, sections 4.4 and 4.7).

What is refused here is a failed login and stands in the audit trail (ASVS 5.0, 16.3.1), or a failed link where the
visit was to link. Anybody can bring an answer, so an address that brings too many is only in the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import AuthError, InvalidToken, NotFound, ProviderDenied, ProviderFailed, RateLimited
from auth.models import Client, TokenDelivery
from auth.oauth.claims import Claims
from auth.oauth.exchange import error_code
from auth.oauth.flow import is_state_of, proofs_of, under_second_name
from auth.oauth.provider import Callback, Provider
from auth.rate_limits import RateLimits
from auth.stores.challenges import ChallengePurpose, Challenges

log = structlog.get_logger()

# As long as somebody may take to find their password at the provider.
VISIT_LIFE = timedelta(minutes=10)

# What the person or the provider's own rules decided, and nothing that is wrong (RFC 6749, section 4.1.2.1;
# OpenID Connect Core 1.0, section 3.1.2.6).
DENIALS = frozenset({"access_denied", "login_required", "consent_required", "interaction_required"})
MAX_CODE = 2048


@dataclass(frozen=True, slots=True)
class Link:
    """For whose account a visit was begun, and on which session of theirs."""

    user_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Visit:
    """What was asked for when a visit began; with `link` it is to link the provider, else to log in."""

    delivery: TokenDelivery
    return_to: str | None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the secret that it has to come back with."""

    url: str
    secret: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "Begun(…)"


class ProviderFlows:
    """Sends browsers to providers and takes them back. `redirect_base` is the URL by which they know us."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        challenges: Challenges,
        redirect_base: str,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._providers: Mapping[str, Provider] = {each.provider_id: each for each in providers}
        self._challenges = challenges
        self._redirect_base = redirect_base
        self._limits = limits
        self._audit = audit
        self._clock = clock

    @property
    def providers(self) -> Sequence[Provider]:
        """Every provider, in the order of the settings."""
        return tuple(self._providers.values())

    def provider(self, provider_id: str) -> Provider:
        """One of them. Raises `NotFound`."""
        try:
            return self._providers[provider_id]
        except KeyError:
            raise NotFound from None

    async def begin(self, provider_id: str, visit: Visit, *, second_name: bool = False) -> Begun:
        """Begin a visit, whose state tells whether it was begun under this machine's second name.

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
        proofs = under_second_name(proofs_of(secret)) if second_name else proofs_of(secret)
        url = await provider.authorization_url(proofs, self._redirect_uri(provider))
        return Begun(url, secret, expires_at)

    async def resume(self, provider_id: str, secret: str, state: str, *, client: Client) -> Visit:
        """End the visit that the browser comes back from.

        An answer with a state that is not this browser's ends nothing: whoever forges one must not spoil a visit
        that is under way. Raises `InvalidToken` for it, and for a visit that is over, was ended, or led to another
        provider.
        """
        provider = self.provider(provider_id)
        try:
            return await self._resume(provider, secret, state)
        except InvalidToken as refusal:
            await self._record(refusal, provider, None, client)
            raise

    async def _resume(self, provider: Provider, secret: str, state: str) -> Visit:
        if not is_state_of(secret, state):
            raise _over()
        ended = await self._challenges.consume(secret, ChallengePurpose.PROVIDER, now=self._clock())
        if ended is None:
            raise _over()
        if (ended.data["provider"], ended.data["issuer"]) != (provider.provider_id, provider.issuer):
            # A provider that hands its visitors to another's address wants the other's code (mix-up).
            log.warning("provider_mix_up", begun=ended.data["provider"], ended=provider.provider_id)
            raise _over()
        return _visit(ended.data)

    async def identify(
        self, provider_id: str, visit: Visit, secret: str, callback: Callback, *, client: Client
    ) -> Claims:
        """Who came back. Call it once, for the visit that `resume` has ended.

        Raises `ProviderDenied`, `InvalidToken` for a code that is over, `Unavailable` or `ProviderFailed`.
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
            reason = f"callback: {error_code(callback.error)}"
            log.warning("provider_failed", provider=provider.provider_id, reason=reason)
            raise ProviderFailed
        if not callback.code or len(callback.code) > MAX_CODE:
            raise ProviderFailed
        return await provider.identify(callback.code, proofs_of(secret), self._redirect_uri(provider))

    async def _record(self, refusal: AuthError, provider: Provider, link: Link | None, client: Client) -> None:
        try:
            await self._limits.hit("provider", client.ip)
        except RateLimited:
            return  # whoever floods us fills no trail: the log has the refusal, and the request
        await self._audit.record(
            "login_failed" if link is None else "identity_link_failed",
            user_id=link.user_id if link else None,
            session_id=link.session_id if link else None,
            client=client,
            details={"reason": refusal.code, "provider": provider.provider_id},
            now=self._clock(),
        )

    def _redirect_uri(self, provider: Provider) -> str:
        """One for each provider, so that an answer cannot reach us as another's (RFC 9700, section 4.4.2.2)."""
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


def _over() -> InvalidToken:
    return InvalidToken("This login is over, or was begun in another browser. Begin again.")
