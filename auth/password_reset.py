"""Resetting a forgotten password: a mailed link, good once, for a quarter of an hour.

*Enumeration*: asking answers the same, and does as much work, whether or not the address is known (ASVS 5.0,
6.3.8).

*Theft of the link*: it is bound to its purpose, its account and the password in force when it was mailed, so that
it dies with any change of that (6.4.1). It logs nobody in, and neither asks for a second factor nor removes one:
whoever holds the mailbox still meets it at the login (6.4.3).

*Pre-hijacking*: following the link proves the address. An account that was registered by a stranger and never
verified becomes its owner's, and every session begun on it before ends, whatever was asked for.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from auth.accounts import require_email
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import InvalidToken
from auth.models import Actor, Client, RevocationReason, User
from auth.password_change import PasswordNotice
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.session_endings import SessionEndings, ending
from auth.session_terms import Revoked
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.users import Users

LINK_LIFE = timedelta(minutes=15)


class ResetMailer(PasswordNotice, Protocol):
    """Mails the link, and what was done by it."""

    async def reset_password(
        self, user: User, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> None:
        """Queue the mail with the link; never waits for a mail server."""


class PasswordReset:
    """Mails reset links and takes them back."""

    def __init__(
        self,
        *,
        users: Users,
        tokens: OneTimeTokens,
        passwords: Passwords,
        endings: SessionEndings,
        mailer: ResetMailer,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._passwords = passwords
        self._endings = endings
        self._mailer = mailer
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def ask(self, email: str, *, client: Client) -> None:
        """Mail a link, if there is such an account; nothing tells the caller whether there is.

        Raises `InvalidRequest` for what is no address, `RateLimited` by the caller's address, or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        address = require_email(email)
        now = self._clock()
        user = await self._users.by_email(address.key)
        await self._audit.record(
            "password_reset_asked",
            user_id=user.user_id if user else None,
            session_id=None,
            client=client,
            now=now,
        )
        if not await self._limits.allows_mail("password_reset", address.key, is_sent=user is not None):
            return
        if user is None:
            # The token and the mail.
            await self._tokens.pretend(writes=2, now=now)
            return
        token = await self._tokens.issue(
            Purpose.RESET_PASSWORD,
            user_id=user.user_id,
            email_key=address.key,
            now=now,
            expires_at=now + LINK_LIFE,
            remove_at=now + LINK_LIFE,
            data={"credentialsVersion": str(user.credentials_version)},
        )
        await self._mailer.reset_password(user, token=token, requested_at=now, ip=client.ip, valid_for=LINK_LIFE)

    async def reset(
        self, token: str, *, password: str, keep_sessions: bool, client: Client
    ) -> tuple[User, Revoked]:
        """Put `password` in force; the user, and the sessions that were ended for it.

        A password that will not do leaves the link as it is. Raises `InvalidRequest` for such a one,
        `InvalidToken` for a link that is not good any more, `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        now = self._clock()
        found = await self._tokens.find(token, Purpose.RESET_PASSWORD, now=now)
        user = await self._users.by_id(found.user_id) if found else None
        if found is None or user is None or found.data["credentialsVersion"] != str(user.credentials_version):
            raise _not_good()
        await self._passwords.check(password, context=(user.email, user.name, user.username))
        new_hash = await self._passwords.hash(password)
        now = self._clock()
        keeps = keep_sessions and user.email_verified_at is not None
        ends = None if keeps else ending(now, RevocationReason.PASSWORD_CHANGED, by=Actor("user"))
        # The link ends with the credentials it was mailed for: nothing else has to be written, or can be lost.
        changed = await self._users.replace_password(
            user.user_id,
            after=user.credentials_version,
            new_hash=new_hash,
            ends=ends,
            now=now,
            verifies=found.email_key,
        )
        if changed is None:
            raise _not_good()
        await self._audit.record("password_reset", user_id=user.user_id, session_id=None, client=client, now=now)
        await self._mailer.password_changed(changed, at=now, ip=client.ip)
        if ends is None:
            return changed, Revoked()
        revoked = await self._endings.carry_out(user.user_id, ends, client=client)
        return replace(changed, sessions_to_end=None), revoked


def _not_good() -> InvalidToken:
    return InvalidToken("This link is not good any more. Ask for a new one.")
