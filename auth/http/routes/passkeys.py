"""Passkey endpoints: log in; add, rename and remove one's own passkeys."""

from typing import Any

from pydantic import Field
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from auth.core.errors import (
    Conflict,
    EmailNotVerified,
    InvalidCode,
    InvalidToken,
    NotFound,
    StepUpRequired,
)
from auth.core.models import FactorAnswer, Passkey, TokenDelivery
from auth.core.views import Credential, Input, Moment, View
from auth.http.identity import HttpIdentity
from auth.http.routes.login_answer import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import Empty, LoginAnswer, LoginOptions, MfaAnswer, Name, Nothing
from auth.login.admission import Admission
from auth.login.passkeys.login import METHOD, PasskeyLogin
from auth.login.passkeys.manage import OwnPasskeys


class PasskeyOptionsRequest(Input):
    """With `mfaToken`, options for the second factor of that login; without it, for a login by passkey alone."""

    mfa_token: Credential | None = None


class PasskeyLoginRequest(LoginOptions):
    """The browser's assertion. With `mfaToken` it completes that login, whose delivery then applies."""

    credential: dict[str, Any] = Field(description="A `PublicKeyCredential` as JSON.")
    mfa_token: Credential | None = None


class AddPasskeyRequest(Input):
    """The browser's attestation and a name for the passkey."""

    credential: dict[str, Any] = Field(description="A `PublicKeyCredential` as JSON.")
    name: Name | None = None


class RenamePasskeyRequest(Input):
    """The new name."""

    name: Name


class PasskeyOptionsAnswer(View):
    """Options for the browser's WebAuthn call, as JSON (WebAuthn level 3, sections 5.1.8 and 5.1.10)."""

    options: dict[str, Any]


class PasskeyView(View):
    """A passkey, as shown to its owner."""

    id: str = Field(description="The credential id, in base64url.")
    name: str
    created_at: Moment
    last_used_at: Moment | None
    backed_up: bool = Field(description="Whether its provider syncs it across devices.")
    transports: tuple[str, ...]

    @classmethod
    def of(cls, passkey: Passkey) -> "PasskeyView":
        return cls(
            id=bytes_to_base64url(passkey.credential_id),
            name=passkey.name,
            created_at=passkey.created_at,
            last_used_at=passkey.last_used_at,
            backed_up=passkey.backed_up,
            transports=passkey.transports,
        )


class PasskeyAnswer(View):
    """One passkey."""

    passkey: PasskeyView


class PasskeysAnswer(View):
    """The user's passkeys, oldest first."""

    passkeys: tuple[PasskeyView, ...]


class PasskeyRoutes:
    """Endpoints for passkeys."""

    tag = "Passkeys"

    def __init__(
        self, login: PasskeyLogin, own: OwnPasskeys, admission: Admission, identity: HttpIdentity
    ) -> None:
        self._login = login
        self._own = own
        self._admission = admission
        self._identity = identity

    @endpoint(
        "POST", "/webauthn/login/options", summary="Start a passkey login", public=True, errors=(InvalidToken,)
    )
    async def passkey_login_options(self, call: Call, body: PasskeyOptionsRequest) -> PasskeyOptionsAnswer:
        if body.mfa_token is None:
            options = await self._login.options(client=call.client)
        else:
            options = await self._login.options_for_login(body.mfa_token, client=call.client)
        return PasskeyOptionsAnswer(options=options)

    @endpoint(
        "POST",
        "/webauthn/login/verify",
        summary="Log in with a passkey",
        public=True,
        errors=(InvalidCode, InvalidToken, *LOGIN_REFUSALS),
    )
    async def passkey_login(self, call: Call, body: PasskeyLoginRequest) -> LoginAnswer | MfaAnswer:
        if body.mfa_token is not None:
            waiting = await self._admission.waiting(body.mfa_token)
            self._identity.check_login_origin(call.request, waiting.delivery)
            answer = FactorAnswer(METHOD, credential=body.credential)
            return await login_answer(
                self._identity, call, await self._admission.finish(body.mfa_token, answer, client=call.client)
            )
        delivery = TokenDelivery(body.delivery)
        self._identity.check_login_origin(call.request, delivery)
        result = await self._login.log_in(
            body.credential, device_name=body.device_name, delivery=delivery, client=call.client
        )
        return await login_answer(self._identity, call, result)

    @endpoint("POST", "/webauthn/step-up/options", summary="Start a step-up by passkey")
    async def passkey_step_up_options(self, call: Call, _: Nothing) -> PasskeyOptionsAnswer:
        return PasskeyOptionsAnswer(
            options=await self._login.options_for_step_up(call.principal, client=call.client)
        )

    @endpoint(
        "POST",
        "/webauthn/register/options",
        summary="Start adding a passkey",
        errors=(StepUpRequired, EmailNotVerified, Conflict),
    )
    async def passkey_options(self, call: Call, _: Nothing) -> PasskeyOptionsAnswer:
        return PasskeyOptionsAnswer(options=await self._own.begin(call.principal, client=call.client))

    @endpoint(
        "POST",
        "/webauthn/register/verify",
        summary="Add a passkey",
        errors=(StepUpRequired, EmailNotVerified, InvalidCode, Conflict),
    )
    async def add_passkey(self, call: Call, body: AddPasskeyRequest) -> PasskeyAnswer:
        passkey = await self._own.add(call.principal, body.credential, name=body.name, client=call.client)
        return PasskeyAnswer(passkey=PasskeyView.of(passkey))

    @endpoint("GET", "/webauthn/passkeys", summary="List my passkeys")
    async def passkeys(self, call: Call, _: Nothing) -> PasskeysAnswer:
        return PasskeysAnswer(passkeys=tuple(map(PasskeyView.of, await self._own.list(call.principal))))

    @endpoint("PATCH", "/webauthn/passkeys/{passkeyId}", summary="Rename a passkey", errors=(NotFound,))
    async def rename_passkey(self, call: Call, body: RenamePasskeyRequest) -> PasskeyAnswer:
        passkey = await self._own.rename(call.principal, _credential_id(call), name=body.name)
        return PasskeyAnswer(passkey=PasskeyView.of(passkey))

    @endpoint(
        "DELETE",
        "/webauthn/passkeys/{passkeyId}",
        summary="Remove a passkey",
        errors=(StepUpRequired, NotFound, Conflict),
    )
    async def remove_passkey(self, call: Call, _: Nothing) -> Empty:
        await self._own.remove(call.principal, _credential_id(call), client=call.client)
        return Empty()


def _credential_id(call: Call) -> bytes:
    try:
        return base64url_to_bytes(call.request.match_info["passkeyId"])
    except ValueError:
        raise NotFound("There is no such passkey.") from None
