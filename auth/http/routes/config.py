"""The public configuration, so that pages need not hard-code limits and lifetimes."""

from datetime import timedelta

from auth.accounts import deletion, email_change, password_reset, registration
from auth.clients import devices
from auth.core import text
from auth.crypto import passwords
from auth.factors import recovery_codes, step_up, totp
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import Nothing, ProviderView
from auth.http.schemas.config import (
    CodeFormats,
    ConfigAnswer,
    EnabledLoginMethods,
    LengthLimits,
    Lifetimes,
    PasswordBounds,
    TryLimits,
)
from auth.login import admission
from auth.login.phones import codes
from auth.login.providers.visits import ProviderFlows

MAX_AGE_SECONDS = 60


def _ms(life: timedelta) -> int:
    return life // timedelta(milliseconds=1)


LIFETIMES = Lifetimes(
    verification_link_ms=_ms(registration.LINK_LIFE),
    password_reset_link_ms=_ms(password_reset.LINK_LIFE),
    email_change_link_ms=_ms(email_change.LINK_LIFE),
    second_factor_ms=_ms(admission.MFA_LIFE),
    sms_code_ms=_ms(codes.CODE_LIFE),
    step_up_ms=_ms(step_up.MAX_AGE),
    account_deletion_ms=_ms(deletion.GRACE),
)


class ConfigRoutes:
    """The endpoint of the public configuration."""

    tag = "Service"

    def __init__(self, flows: ProviderFlows, *, phone_login: bool) -> None:
        self._flows = flows
        self._phone_login = phone_login

    @endpoint(
        "GET",
        "/config",
        summary="Get limits, lifetimes and login methods",
        public=True,
        max_age_seconds=MAX_AGE_SECONDS,
    )
    async def config(self, _call: Call, _: Nothing) -> ConfigAnswer:
        """Values for client-side validation and texts. The server validates all input itself."""
        return ConfigAnswer(
            password=PasswordBounds(min_length=passwords.MIN_CHARACTERS, max_length=passwords.MAX_CHARACTERS),
            max_lengths=LengthLimits(email=text.MAX_EMAIL, name=text.MAX_NAME, device_name=devices.MAX_NAME),
            codes=CodeFormats(
                totp_digits=totp.DIGITS, sms_digits=codes.CODE_DIGITS, recovery_codes=recovery_codes.CODE_COUNT
            ),
            tries=TryLimits(second_factor=admission.MFA_TRIES, sms_code=codes.CODE_TRIES),
            lifetimes=LIFETIMES,
            login_methods=EnabledLoginMethods(
                phone=self._phone_login,
                providers=tuple(
                    ProviderView(id=each.provider_id, name=each.name) for each in self._flows.providers
                ),
            ),
        )
