"""Second factors over HTTP: see them, set one up, take it away, make new recovery codes."""

from auth.errors import Conflict, EmailNotVerified, InvalidCode, StepUpRequired
from auth.http.routing import Call, endpoint
from auth.http.schemas import (
    Empty,
    EnableTotpRequest,
    FactorsAnswer,
    Nothing,
    RecoveryCodesAnswer,
    RecoveryCodesView,
    TotpSetupAnswer,
    TotpView,
)
from auth.two_factor import TwoFactor

TAG = "Second factor"


class TwoFactorRoutes:
    """Endpoints for a user's own second factors."""

    def __init__(self, two_factor: TwoFactor) -> None:
        self._two_factor = two_factor

    @endpoint("GET", "/2fa", summary="My second factors", tag=TAG, answer=FactorsAnswer)
    async def second_factors(self, call: Call, _: Nothing) -> FactorsAnswer:
        overview = await self._two_factor.overview(call.principal)
        enabled_at, left = overview.totp_enabled_at, overview.codes_left
        return FactorsAnswer(
            totp=TotpView(enabled_at=enabled_at) if enabled_at is not None else None,
            recovery_codes=RecoveryCodesView(left=left) if left is not None else None,
            passkeys=overview.passkeys,
            methods=overview.methods,
        )

    @endpoint(
        "POST",
        "/2fa/setup",
        summary="Begin to set an authenticator app up",
        tag=TAG,
        answer=TotpSetupAnswer,
        errors=(StepUpRequired, EmailNotVerified),
    )
    async def set_up_totp(self, call: Call, _: Nothing) -> TotpSetupAnswer:
        """The app that is in force, if any, stays so until the new one has shown its first code."""
        setup = await self._two_factor.set_up(call.principal)
        return TotpSetupAnswer(
            secret=setup.secret, uri=setup.uri, qr_svg=setup.qr_svg, expires_at=setup.expires_at
        )

    @endpoint(
        "POST",
        "/2fa/enable",
        summary="Turn two-factor login on by the app's first code",
        tag=TAG,
        body=EnableTotpRequest,
        answer=RecoveryCodesAnswer,
        errors=(StepUpRequired, EmailNotVerified, InvalidCode, Conflict),
    )
    async def enable_totp(self, call: Call, body: EnableTotpRequest) -> RecoveryCodesAnswer:
        """Ends the user's other sessions."""
        codes = await self._two_factor.enable(call.principal, body.code, client=call.client)
        return RecoveryCodesAnswer(recovery_codes=codes)

    @endpoint(
        "POST",
        "/2fa/disable",
        summary="Take the authenticator app away",
        tag=TAG,
        answer=Empty,
        errors=(StepUpRequired,),
    )
    async def disable_totp(self, call: Call, _: Nothing) -> Empty:
        """Fine when there is none."""
        await self._two_factor.disable(call.principal, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/2fa/recovery-codes",
        summary="Make new recovery codes",
        tag=TAG,
        answer=RecoveryCodesAnswer,
        errors=(StepUpRequired, Conflict),
    )
    async def renew_recovery_codes(self, call: Call, _: Nothing) -> RecoveryCodesAnswer:
        """The old ones are void."""
        codes = await self._two_factor.renew_codes(call.principal, client=call.client)
        return RecoveryCodesAnswer(recovery_codes=codes)
