"""Response schema of GET /config: limits, attempts, lifetimes and enabled login methods."""

from pydantic import Field

from auth.core.views import Counter, View
from auth.http.schemas.common import ProviderView


class PasswordBounds(View):
    """Length of a new password, in characters. Easily guessed passwords are rejected at any length."""

    min_length: Counter
    max_length: Counter


class LengthLimits(View):
    """Maximum lengths, in characters."""

    email: Counter
    name: Counter
    device_name: Counter = Field(description="Longer names are truncated.")


class CodeFormats(View):
    """Formats of codes."""

    totp_digits: Counter = Field(description="Digits of an authenticator app's code.")
    sms_digits: Counter = Field(description="Digits of an SMS code.")
    recovery_codes: Counter = Field(description="Number of recovery codes per account.")


class TryLimits(View):
    """Wrong attempts allowed before the login, or the code, becomes invalid."""

    second_factor: Counter
    sms_code: Counter


class Lifetimes(View):
    """Lifetimes, in milliseconds."""

    verification_link_ms: Counter
    password_reset_link_ms: Counter
    email_change_link_ms: Counter
    second_factor_ms: Counter = Field(description="Time to complete a login that asks for a second factor.")
    sms_code_ms: Counter
    step_up_ms: Counter = Field(description="How long a step-up allows sensitive changes.")
    account_deletion_ms: Counter = Field(description="How long a deletion can be cancelled.")


class EnabledLoginMethods(View):
    """Enabled login methods. Passwords and passkeys are always enabled."""

    phone: bool = Field(description="Whether SMS codes can be sent.")
    providers: tuple[ProviderView, ...]


class ConfigAnswer(View):
    """The server's public configuration, the same for every caller."""

    password: PasswordBounds
    max_lengths: LengthLimits
    codes: CodeFormats
    tries: TryLimits
    lifetimes: Lifetimes
    login_methods: EnabledLoginMethods
