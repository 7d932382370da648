"""The wording of mails, each in text and HTML, from templates read once at start.

Nothing that a stranger typed stands in a mail to somebody else: no name, no username, no device name. Or a
registration would be a way to have us deliver any sentence, link and all, to any address.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from auth.linked_identities import IdentityChange
from auth.locations import Locations
from auth.mail.message import Mail
from auth.models import Approval, Device, Session
from auth.own_phone import PhoneChange
from auth.two_factor import FactorChange

FOLDER = Path(__file__).parent / "templates"
SUBJECTS = {
    "verify_address": "Confirm your e-mail address",
    "already_registered": "You already have an account",
    "reset_password": "Set a new password",
    "password_changed": "Your password was changed",
    "confirm_new_address": "Confirm your new e-mail address",
    "confirm_old_address": "Your account is to move to another address",
    "email_changed": "Your e-mail address was changed",
    "deletion_asked": "Your account will be deleted",
    "deletion_taken_back": "Your account stays",
    "passkey_added": "A passkey was added",
    "passkey_removed": "A passkey was removed",
    "passkey_copied": "Security alert: a copy of your passkey was refused",
    "new_login": "New login to your account",
    "login_denied": "A login to your account was denied",
    "approval_changed": "How your logins can be approved was changed",
    "refresh_reused": "Security alert: you have been logged out",
    FactorChange.ENABLED: "Two-factor login was turned on",
    FactorChange.DISABLED: "Two-factor login was turned off",
    FactorChange.NEW_CODES: "New recovery codes were made",
    IdentityChange.LINKED: "Another way to log in was added",
    IdentityChange.UNLINKED: "A way to log in was removed",
    PhoneChange.ADDED: "A phone number was added",
    PhoneChange.REMOVED: "A phone number was removed",
    "recovery_code_used": "A recovery code was used",
    "second_factor_failed": "Security alert: somebody passed the first step of a login",
    "roles_changed": "Your roles have been changed",
    "account_locked": "Your account has been locked",
    "account_unlocked": "Your account has been unlocked",
}


class MailTemplates:
    """Composes mails. Reads every template when it is made."""

    def __init__(self, *, public_url: str, locations: Locations) -> None:
        environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._templates = {
            name: environment.get_template(name) for kind in SUBJECTS for name in (f"{kind}.txt", f"{kind}.html")
        }
        self._public_url = public_url
        self._locations = locations

    def verify_address(
        self, to: str, *, token: str, requested_at: datetime, ip: str | None, valid_for: timedelta, anew: bool
    ) -> Mail:
        """The link that verifies an address, saying which registration it is for; for none with `anew`."""
        return self._compose(
            "verify_address",
            to,
            link=f"{self._public_url}/api/auth/verify-email?token={quote(token, safe='')}",
            requested_at=readable(requested_at),
            origin=self._origin(ip),
            hours=round(valid_for / timedelta(hours=1)),
            anew=anew,
        )

    def already_registered(self, to: str, *, requested_at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when somebody registers its address again."""
        return self._compose(
            "already_registered",
            to,
            requested_at=readable(requested_at),
            origin=self._origin(ip),
        )

    def reset_password(
        self, to: str, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> Mail:
        """The link that sets a new password."""
        return self._compose(
            "reset_password",
            to,
            link=f"{self._public_url}/?reset={quote(token, safe='')}",
            requested_at=readable(requested_at),
            origin=self._origin(ip),
            minutes=round(valid_for / timedelta(minutes=1)),
        )

    def password_changed(self, to: str, *, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when its password was changed."""
        return self._compose("password_changed", to, at=readable(at), origin=self._origin(ip))

    def confirm_new_address(self, to: str, *, token: str, requested_at: datetime, valid_for: timedelta) -> Mail:
        """The link in the new mailbox of an account that is to move. It says nothing of the account."""
        return self._compose(
            "confirm_new_address",
            to,
            link=f"{self._public_url}/?email={quote(token, safe='')}",
            requested_at=readable(requested_at),
            minutes=round(valid_for / timedelta(minutes=1)),
        )

    def confirm_old_address(
        self, to: str, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> Mail:
        """The link in the old mailbox of an account that is to move."""
        return self._compose(
            "confirm_old_address",
            to,
            link=f"{self._public_url}/?email={quote(token, safe='')}",
            requested_at=readable(requested_at),
            origin=self._origin(ip),
            minutes=round(valid_for / timedelta(minutes=1)),
        )

    def email_changed(self, to: str, *, at: datetime, ip: str) -> Mail:
        """What an address hears that is no longer its account's."""
        return self._compose("email_changed", to, at=readable(at), origin=self._origin(ip))

    def passkey_changed(self, to: str, kind: str, *, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears of a passkey: added, removed, or refused as a copy."""
        return self._compose(kind, to, at=readable(at), origin=self._origin(ip))

    def deletion_asked(self, to: str, *, at: datetime, ip: str, deletion_at: datetime) -> Mail:
        """What the owner of an account hears when its deletion was asked for."""
        return self._compose(
            "deletion_asked",
            to,
            at=readable(at),
            origin=self._origin(ip),
            deletion_at=readable(deletion_at),
        )

    def deletion_taken_back(self, to: str, *, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when its deletion was taken back."""
        return self._compose("deletion_taken_back", to, at=readable(at), origin=self._origin(ip))

    def refresh_reused(self, to: str, *, session: Session, at: datetime) -> Mail:
        """What the owner of an account hears when a refresh token was used twice."""
        return self._compose(
            "refresh_reused",
            to,
            device=session.device.name,
            logged_in_at=readable(session.logged_in_at),
            origin=self._origin(session.ip),
            at=readable(at),
        )

    def second_factor_changed(self, to: str, change: FactorChange, *, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when a second factor was set up, taken away, or renewed."""
        return self._compose(change, to, at=readable(at), origin=self._origin(ip))

    def identity_changed(self, to: str, change: IdentityChange, *, provider: str, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when a provider was linked or taken off; `provider` is the operator's
        name for it."""
        return self._compose(
            change,
            to,
            provider=provider,
            at=readable(at),
            origin=self._origin(ip),
        )

    def phone_changed(self, to: str, change: PhoneChange, *, number: str, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when a phone number was added or taken off; its last digits alone."""
        return self._compose(
            change,
            to,
            digits=number[-2:],
            at=readable(at),
            origin=self._origin(ip),
        )

    def recovery_code_used(self, to: str, *, left: int, at: datetime) -> Mail:
        """What the owner of an account hears when a recovery code was used, and how many are left."""
        return self._compose("recovery_code_used", to, at=readable(at), left=left)

    def new_login(
        self, to: str, *, session: Session, news: tuple[str, ...], token: str, valid_for: timedelta
    ) -> Mail:
        """A login from a device or a country that is new; its link asks before it ends anything."""
        return self._compose(
            "new_login",
            to,
            link=f"{self._public_url}/?notme={quote(token, safe='')}",
            news=news,
            device=plain_name(session.device),
            origin=self._origin(session.ip),
            at=readable(session.logged_in_at),
            days=round(valid_for / timedelta(days=1)),
        )

    def login_denied(self, to: str, *, approval: Approval, at: datetime, wrong_number: bool) -> Mail:
        """What the owner of an account hears when a login that had passed its first step was denied."""
        return self._compose(
            "login_denied",
            to,
            device=plain_name(approval.device),
            origin=self._origin(approval.ip),
            at=readable(at),
            wrong_number=wrong_number,
        )

    def approval_changed(self, to: str, *, allowed: bool, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when the approval of logins was turned on or off."""
        return self._compose(
            "approval_changed",
            to,
            allowed=allowed,
            at=readable(at),
            origin=self._origin(ip),
        )

    def second_factor_failed(self, to: str, *, at: datetime, ip: str) -> Mail:
        """What the owner of an account hears when a login stopped after its first step."""
        return self._compose("second_factor_failed", to, at=readable(at), origin=self._origin(ip))

    def roles_changed(self, to: str, *, roles: Sequence[str], at: datetime) -> Mail:
        """What a user hears when an administrator gave them other roles."""
        return self._compose("roles_changed", to, roles=", ".join(roles), at=readable(at))

    def account_locked(self, to: str, *, at: datetime) -> Mail:
        """What a user hears when an administrator locked their account. The reason is the administrator's."""
        return self._compose("account_locked", to, at=readable(at))

    def account_unlocked(self, to: str, *, at: datetime) -> Mail:
        """What a user hears when an administrator unlocked their account."""
        return self._compose("account_unlocked", to, at=readable(at))

    def _compose(self, kind: str, to: str, **values: object) -> Mail:
        """One mail; its button leads to the page unless `values` name another `link`."""
        subject = SUBJECTS[kind]
        values = {"link": f"{self._public_url}/", **values, "subject": subject, "public_url": self._public_url}
        return Mail(
            message_id=secrets.token_hex(16),
            kind=kind,
            to=to,
            subject=subject,
            text=self._templates[f"{kind}.txt"].render(values),
            html=self._templates[f"{kind}.html"].render(values),
        )

    def _origin(self, ip: str | None) -> str | None:
        """An address for people: `203.0.113.7 (NL)`."""
        if not ip:
            return None
        location = self._locations.locate(ip)
        place = ", ".join(part for part in (location.city, location.country) if part) if location else ""
        return f"{ip} ({place})" if place else ip


def plain_name(device: Device) -> str:
    """A device for a mail about a stranger: the name they gave it is left out, and so is what makes a link."""
    words = [re.sub(r"[^A-Za-z0-9 ]", "", part or "").strip() for part in (device.browser, device.os)]
    return " on ".join(word for word in words if word) or "an unknown device"


def readable(moment: datetime) -> str:
    """A time in UTC for people: `21 November 2026, 09:30 UTC`."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
