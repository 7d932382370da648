"""Endpoints for second factors: list, set up, remove, renew recovery codes."""

from auth.core.errors import Conflict, EmailNotVerified, InvalidCode, StepUpRequired
from auth.factors.manage import TwoFactor
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    Empty,
    EnableTotpRequest,
    FactorsAnswer,
    Nothing,
    RecoveryCodesAnswer,
    RecoveryCodesView,
    TotpSetupAnswer,
    TotpView,
)


class TwoFactorRoutes:
    """Endpoints for a user's own second factors."""

    tag = "Second factor"

    def __init__(self, two_factor: TwoFactor) -> None:
        self._two_factor = two_factor

    @endpoint("GET", "/2fa", summary="Get my second factors")
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
        summary="Start setting up an authenticator app",
        errors=(StepUpRequired, EmailNotVerified),
    )
    async def set_up_totp(self, call: Call, _: Nothing) -> TotpSetupAnswer:
        """An app that is already set up stays valid until the new one is enabled."""
        setup = await self._two_factor.set_up(call.principal)
        return TotpSetupAnswer(
            secret=setup.secret, uri=setup.uri, qr_svg=setup.qr_svg, expires_at=setup.expires_at
        )

    @endpoint(
        "POST",
        "/2fa/enable",
        summary="Enable two-factor login with the app's first code",
        errors=(StepUpRequired, EmailNotVerified, InvalidCode, Conflict),
    )
    async def enable_totp(self, call: Call, body: EnableTotpRequest) -> RecoveryCodesAnswer:
        """Ends the user's other sessions."""
        codes = await self._two_factor.enable(call.principal, body.code, client=call.client)
        return RecoveryCodesAnswer(recovery_codes=codes)

    @endpoint("POST", "/2fa/disable", summary="Remove the authenticator app", errors=(StepUpRequired,))
    async def disable_totp(self, call: Call, _: Nothing) -> Empty:
        """Succeeds if there is none."""
        await self._two_factor.disable(call.principal, client=call.client)
        return Empty()

    @endpoint(
        "POST", "/2fa/recovery-codes", summary="Generate new recovery codes", errors=(StepUpRequired, Conflict)
    )
    async def renew_recovery_codes(self, call: Call, _: Nothing) -> RecoveryCodesAnswer:
        """Invalidates the old codes."""
        codes = await self._two_factor.renew_codes(call.principal, client=call.client)
        return RecoveryCodesAnswer(recovery_codes=codes)
