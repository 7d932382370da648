"""Providers over HTTP, for programs: which there are, and which of them are linked to an account."""

from auth.errors import Conflict, EmailNotVerified, InvalidRequest, NotFound, ProviderFailed, StepUpRequired
from auth.http.provider_pages import read_return_to, send_visit_cookie
from auth.http.routing import Call, endpoint
from auth.http.schemas import (
    Empty,
    IdentitiesAnswer,
    IdentityView,
    LinkAnswer,
    LinkRequest,
    Nothing,
    ProvidersAnswer,
    ProviderView,
)
from auth.http.second_name import SecondName
from auth.linked_identities import LinkedIdentities
from auth.oauth.flows import ProviderFlows

TAG = "Providers"


class ProviderRoutes:
    """Endpoints for providers and linked identities."""

    def __init__(
        self,
        flows: ProviderFlows,
        identities: LinkedIdentities,
        second_name: SecondName,
        *,
        phone_login: bool,
    ) -> None:
        self._flows = flows
        self._identities = identities
        self._second_name = second_name
        self._phone_login = phone_login

    @endpoint(
        "GET", "/oauth/providers", summary="Providers to log in by", tag=TAG, public=True, answer=ProvidersAnswer
    )
    async def providers(self, _call: Call, _: Nothing) -> ProvidersAnswer:
        return ProvidersAnswer(
            providers=tuple(ProviderView(id=each.provider_id, name=each.name) for each in self._flows.providers),
            phone_login=self._phone_login,
        )

    @endpoint(
        "POST",
        "/oauth/{provider}/link",
        summary="Begin to link a provider to my account",
        tag=TAG,
        body=LinkRequest,
        body_optional=True,
        answer=LinkAnswer,
        errors=(StepUpRequired, EmailNotVerified, NotFound, ProviderFailed, InvalidRequest),
    )
    async def begin_link(self, call: Call, body: LinkRequest) -> LinkAnswer:
        """The answer sets a cookie: only the browser that gets it can come back from the URL and link."""
        return_to = read_return_to(body.return_to)
        begun = await self._identities.begin(
            call.principal,
            call.request.match_info["provider"],
            return_to=return_to,
            second_name=self._second_name.is_asked(call.request),
        )
        send_visit_cookie(call.request, begun)
        return LinkAnswer(url=begun.url, expires_at=begun.expires_at)

    @endpoint("GET", "/me/identities", summary="Providers linked to my account", tag=TAG, answer=IdentitiesAnswer)
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
        summary="Take a provider off my account",
        tag=TAG,
        answer=Empty,
        errors=(StepUpRequired, NotFound, Conflict),
    )
    async def unlink(self, call: Call, _: Nothing) -> Empty:
        """Refused for the last way in."""
        identity_id = call.request.match_info["identityId"]
        await self._identities.unlink(call.principal, identity_id, client=call.client)
        return Empty()
