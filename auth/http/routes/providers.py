"""Provider endpoints of the JSON API: list providers, link and unlink identities."""

from auth.core.errors import Conflict, EmailNotVerified, InvalidRequest, NotFound, ProviderFailed, StepUpRequired
from auth.http.pages.provider_visits import read_return_to, send_visit_cookie
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    Empty,
    IdentitiesAnswer,
    IdentityView,
    LinkAnswer,
    LinkRequest,
    Nothing,
    ProvidersAnswer,
    ProviderView,
)
from auth.http.second_origin import SecondOrigin
from auth.login.providers.links import LinkedIdentities
from auth.login.providers.visits import ProviderFlows


class ProviderRoutes:
    """Endpoints for providers and linked identities."""

    tag = "Providers"

    def __init__(
        self,
        flows: ProviderFlows,
        identities: LinkedIdentities,
        second_origin: SecondOrigin,
        *,
        phone_login: bool,
    ) -> None:
        self._flows = flows
        self._identities = identities
        self._second_origin = second_origin
        self._phone_login = phone_login

    @endpoint("GET", "/oauth/providers", summary="List login providers", public=True)
    async def providers(self, _call: Call, _: Nothing) -> ProvidersAnswer:
        return ProvidersAnswer(
            providers=tuple(ProviderView(id=each.provider_id, name=each.name) for each in self._flows.providers),
            phone_login=self._phone_login,
        )

    @endpoint(
        "POST",
        "/oauth/{provider}/link",
        summary="Start linking a provider to my account",
        body_optional=True,
        errors=(StepUpRequired, EmailNotVerified, NotFound, ProviderFailed, InvalidRequest),
    )
    async def begin_link(self, call: Call, body: LinkRequest) -> LinkAnswer:
        """Sets a cookie: only the browser that has it can return from the URL and complete the link."""
        return_to = read_return_to(body.return_to)
        begun = await self._identities.begin(
            call.principal,
            call.request.match_info["provider"],
            return_to=return_to,
            second_origin=self._second_origin.is_requested(call.request),
        )
        send_visit_cookie(call.request, begun)
        return LinkAnswer(url=begun.url, expires_at=begun.expires_at)

    @endpoint("GET", "/me/identities", summary="List providers linked to my account")
    async def identities(self, call: Call, _: Nothing) -> IdentitiesAnswer:
        listed = await self._identities.list(call.principal)
        return IdentitiesAnswer(
            identities=tuple(
                IdentityView(
                    id=each.identity_id,
                    provider=each.provider_id,
                    label=each.label,
                    linked_at=each.linked_at,
                    last_used_at=each.last_used_at,
                )
                for each in listed
            )
        )

    @endpoint(
        "DELETE",
        "/me/identities/{identityId}",
        summary="Unlink a provider from my account",
        errors=(StepUpRequired, NotFound, Conflict),
    )
    async def unlink(self, call: Call, _: Nothing) -> Empty:
        """Rejected for the last login method."""
        identity_id = call.request.match_info["identityId"]
        await self._identities.unlink(call.principal, identity_id, client=call.client)
        return Empty()
