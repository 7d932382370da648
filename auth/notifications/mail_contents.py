"""Contents of the mails: one class for each, with the values that its templates use.

Values are raw; auth/notifications/mail_templates.py formats them. Each docstring says what the mail tells its
reader.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, dataclass_transform

from auth.core.models import ClientKind, Device
from auth.notifications.undo_links import AddedMethod


@dataclass_transform(frozen_default=True, kw_only_default=True)
class MailContent:
    """The content of one mail. `kind` is the name of its templates.

    The button links to the application's page, with the content's `token` as the parameter `query` if there is
    one. If `own_page` is set, it links to that page of this server instead, for actions that an application's page
    lacks.
    """

    kind: ClassVar[str] = ""
    subject: ClassVar[str] = ""
    query: ClassVar[str] = ""
    own_page: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str = "", subject: str = "", query: str = "", own_page: str = "") -> None:
        cls.kind, cls.subject = kind, subject
        cls.query, cls.own_page = query or cls.query, own_page or cls.own_page
        dataclass(frozen=True, kw_only=True, repr=False)(cls)  # no repr: tokens are secrets


class Notice(MailContent):
    """Reports something that was done, and when. `kind` is also that of an audit event."""

    at: datetime


class ActNotice(Notice):
    """A notice that also says from which address it was done."""

    ip: str


class AdditionNotice(ActNotice, own_page="factors/undo"):
    """A notice of an added login method, with a link that removes it."""

    added: AddedMethod


class LinkMailContent(MailContent):
    """A link that was requested, and how long it is valid."""

    token: str
    requested_at: datetime
    valid_for: timedelta


class VerifyAddress(
    LinkMailContent, kind="verify_address", subject="Confirm your e-mail address", own_page="verify-email"
):
    """The link that verifies an address, and which registration it is for.

    `anew`: for no particular registration; the link leaves the account without a password.
    """

    ip: str | None
    anew: bool


class AlreadyRegistered(MailContent, kind="already_registered", subject="You already have an account"):
    """Someone tried to register the account's address again."""

    requested_at: datetime
    ip: str


class ResetPassword(LinkMailContent, kind="reset_password", subject="Set a new password", query="reset"):
    """The link that sets a new password."""

    ip: str


class PasswordChanged(ActNotice, kind="password_changed", subject="Your password was changed"):
    """The password was changed."""


class ConfirmNewAddress(
    LinkMailContent, kind="confirm_new_address", subject="Confirm your new e-mail address", query="email"
):
    """The link sent to the new address of an e-mail change. It reveals nothing about the account."""


class ConfirmOldAddress(
    LinkMailContent,
    kind="confirm_old_address",
    subject="Request to change your e-mail address",
    query="email",
):
    """The link sent to the old address of an e-mail change."""

    ip: str


class EmailChanged(ActNotice, kind="email_changed", subject="Your e-mail address was changed"):
    """The address this mail goes to no longer belongs to the account."""


class DeletionAsked(ActNotice, kind="deletion_asked", subject="Your account will be deleted"):
    """The account will be deleted, and until when that can be cancelled."""

    deletion_at: datetime


class DeletionTakenBack(ActNotice, kind="deletion_taken_back", subject="Your account will not be deleted"):
    """The deletion was cancelled."""


class PasskeyAdded(AdditionNotice, kind="passkey_added", subject="A passkey was added"):
    """A passkey was added."""


class PasskeyRemoved(ActNotice, kind="passkey_removed", subject="A passkey was removed"):
    """A passkey was removed."""


class PasskeyCopied(
    ActNotice, kind="passkey_copied", subject="Security alert: a copy of your passkey was rejected"
):
    """A passkey was rejected because it appears to be a copy."""


class TotpEnabled(AdditionNotice, kind="totp_enabled", subject="Two-step verification was turned on"):
    """An authenticator app was set up."""


class TotpDisabled(ActNotice, kind="totp_disabled", subject="Two-step verification was turned off"):
    """The authenticator app was removed."""


class RecoveryCodesMade(ActNotice, kind="recovery_codes_made", subject="New recovery codes were created"):
    """The recovery codes were replaced."""


class RecoveryCodeUsed(Notice, kind="recovery_code_used", subject="A recovery code was used"):
    """A recovery code was used, and how many are left."""

    left: int


class FactorsRemoved(Notice, kind="factors_removed", subject="Login methods were removed from your account"):
    """Login methods were removed, not on one of the user's devices: `by` is `link`, `admin` or `system`."""

    removed: tuple[str, ...]
    by: str


class SecondFactorFailed(
    ActNotice, kind="second_factor_failed", subject="Security alert: two-step verification failed"
):
    """Someone passed the first factor and failed the second."""


class PasswordGuessed(
    ActNotice, kind="password_guessed", subject="Security alert: many wrong passwords were entered"
):
    """The daily limit of wrong passwords was reached; `ip` is that of the last attempt."""

    is_known: bool


class IdentityLinked(AdditionNotice, kind="identity_linked", subject="Another way to log in was added"):
    """A provider was linked; `provider` is its name in the settings."""

    provider: str


class IdentityUnlinked(ActNotice, kind="identity_unlinked", subject="A way to log in was removed"):
    """A provider was unlinked."""

    provider: str


class PhoneAdded(AdditionNotice, kind="phone_added", subject="A phone number was added"):
    """A phone number was added; the mail shows only its last digits."""

    number: str


class PhoneRemoved(ActNotice, kind="phone_removed", subject="A phone number was removed"):
    """A phone number was removed; the mail shows only its last digits."""

    number: str


class NewLogin(Notice, kind="new_login", subject="New login to your account", query="notme"):
    """A login from a new device or country; the link asks for confirmation before it ends the session."""

    device: Device
    ip: str
    news: tuple[str, ...]
    token: str
    valid_for: timedelta


class RefreshElsewhere(
    ActNotice,
    kind="refresh_elsewhere",
    subject="Security alert: your login was used on another device",
    query="notme",
):
    """A session is also used from elsewhere, described by `other_…`.

    The link asks for confirmation before it ends the session.
    """

    device: Device | ClientKind
    logged_in_at: datetime
    other_device: ClientKind | None
    other_ip: str
    token: str
    valid_for: timedelta


class TokenReused(ActNotice, kind="refresh_reused", subject="Security alert: you have been logged out"):
    """A refresh token was reused; `ip` and `device` are those of the session."""

    device: Device
    logged_in_at: datetime


class LoginDenied(ActNotice, kind="login_denied", subject="A login to your account was denied"):
    """A login that had passed its first factor was denied on one of the user's devices."""

    device: Device
    wrong_number: bool


class ApprovalChanged(ActNotice, kind="approval_changed", subject="Your login approval setting was changed"):
    """Login approval on the user's devices was turned on or off."""

    allowed: bool


class RolesWereChanged(Notice, kind="roles_changed", subject="Your roles have been changed"):
    """An administrator changed the user's roles."""

    roles: tuple[str, ...]


class AccountWasLocked(Notice, kind="account_locked", subject="Your account has been locked"):
    """An administrator locked the account. The mail does not give the reason."""


class AccountWasUnlocked(Notice, kind="account_unlocked", subject="Your account has been unlocked"):
    """An administrator unlocked the account."""


def all_mail_contents(base: type[MailContent] = MailContent) -> list[type[MailContent]]:
    """Return the class of every mail."""
    return [
        each for kind in base.__subclasses__() for each in ([kind] if kind.kind else []) + all_mail_contents(kind)
    ]
