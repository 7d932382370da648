"""Passkeys over HTTP: log in by one, add, name and remove one's own."""

from typing import Any

from pydantic import Field
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from auth.admission import Admission
from auth.errors import (
    Conflict,
    EmailNotVerified,
    InvalidCode,
    InvalidToken,
    NotFound,
    StepUpRequired,
)
from auth.http.identity import Identity
from auth.http.login_answers import LOGIN_REFUSALS, login_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas import Empty, LoginAnswer, LoginOptions, MfaAnswer, Name, Nothing
from auth.models import FactorAnswer, Passkey, TokenDelivery
from auth.own_passkeys import OwnPasskeys
from auth.passkeys import METHOD, PasskeyLogin
from auth.views import Credential, Input, Moment, View

TAG = "Passkeys"


class PasskeyOptionsRequest(Input):
    """`mfaToken` for the second factor of a waiting login; nothing for a login by passkey alone."""

    mfa_token: Credential | None = None


class PasskeyLoginRequest(LoginOptions):
    """The browser's answer. With `mfaToken` it finishes a waiting login, which says how its tokens travel."""

    credential: dict[str, Any] = Field(description="A `PublicKeyCredential` as JSON.")
    mfa_token: Credential | None = None


class AddPasskeyRequest(Input):
    """The browser's answer, and what to call the passkey."""

    credential: dict[str, Any] = Field(description="A `PublicKeyCredential` as JSON.")
    name: Name | None = None


class RenamePasskeyRequest(Input):
    """Another name."""

    name: Name


class PasskeyOptionsAnswer(View):
    """What the browser's WebAuthn call takes, as JSON (WebAuthn level 3, section 5.1.8 and 5.1.10)."""

    options: dict[str, Any]


class PasskeyView(View):
    """A passkey, as its owner sees it."""

    id: str = Field(description="The credential's id, in base64url.")
    name: str
    created_at: Moment
    last_used_at: Moment | None
    backed_up: bool = Field(description="Whether its provider keeps it on several devices.")
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
    """Endpoints around passkeys."""

    def __init__(self, login: PasskeyLogin, own: OwnPasskeys, admission: Admission, identity: Identity) -> None:
        self._login = login
        self._own = own
        self._admission = admission
        self._identity = identity

    @endpoint(
        "POST",
        "/webauthn/login/options",
        summary="Begin a login by passkey",
        tag=TAG,
        public=True,
        body=PasskeyOptionsRequest,
        answer=PasskeyOptionsAnswer,
        errors=(InvalidToken,),
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
        summary="Log in by passkey",
        tag=TAG,
        public=True,
        body=PasskeyLoginRequest,
        answer=LoginAnswer,
        or_answer=MfaAnswer,
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

    @endpoint(
        "POST",
        "/webauthn/step-up/options",
        summary="Begin a step-up by passkey",
        tag=TAG,
        answer=PasskeyOptionsAnswer,
    )
    async def passkey_step_up_options(self, call: Call, _: Nothing) -> PasskeyOptionsAnswer:
        return PasskeyOptionsAnswer(
            options=await self._login.options_for_step_up(call.principal, client=call.client)
        )

    @endpoint(
        "POST",
        "/webauthn/register/options",
        summary="Begin to add a passkey",
        tag=TAG,
        answer=PasskeyOptionsAnswer,
        errors=(StepUpRequired, EmailNotVerified, Conflict),
    )
    async def passkey_options(self, call: Call, _: Nothing) -> PasskeyOptionsAnswer:
        return PasskeyOptionsAnswer(options=await self._own.begin(call.principal, client=call.client))

    @endpoint(
        "POST",
        "/webauthn/register/verify",
        summary="Add a passkey",
        tag=TAG,
        body=AddPasskeyRequest,
        answer=PasskeyAnswer,
        errors=(StepUpRequired, EmailNotVerified, InvalidCode, Conflict),
    )
    async def add_passkey(self, call: Call, body: AddPasskeyRequest) -> PasskeyAnswer:
        passkey = await self._own.add(call.principal, body.credential, name=body.name, client=call.client)
        return PasskeyAnswer(passkey=PasskeyView.of(passkey))

    @endpoint("GET", "/webauthn/passkeys", summary="My passkeys", tag=TAG, answer=PasskeysAnswer)
    async def passkeys(self, call: Call, _: Nothing) -> PasskeysAnswer:
        return PasskeysAnswer(passkeys=tuple(map(PasskeyView.of, await self._own.list(call.principal))))

    @endpoint(
        "PATCH",
        "/webauthn/passkeys/{passkeyId}",
        summary="Rename a passkey",
        tag=TAG,
        body=RenamePasskeyRequest,
        answer=PasskeyAnswer,
        errors=(NotFound,),
    )
    async def rename_passkey(self, call: Call, body: RenamePasskeyRequest) -> PasskeyAnswer:
        passkey = await self._own.rename(call.principal, _credential_id(call), name=body.name)
        return PasskeyAnswer(passkey=PasskeyView.of(passkey))

    @endpoint(
        "DELETE",
        "/webauthn/passkeys/{passkeyId}",
        summary="Remove a passkey",
        tag=TAG,
        answer=Empty,
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
