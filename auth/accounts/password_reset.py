"""Password reset by a mailed link, valid once and for 15 minutes.

*Enumeration*: the answer and the work are the same whether or not the address is known (ASVS 5.0, 6.3.8).

*Theft of the link*: it is bound to its purpose, its account and the password at the time it was mailed, so any
password change invalidates it (6.4.1). It logs nobody in, and neither requires nor removes a second factor, which
is still required at the login (6.4.3).

*Pre-hijacking*: following the link verifies the address. If a stranger registered the account and never verified
it, it becomes the owner's, and every earlier session ends, whatever `keep_sessions` says.
"""

from dataclasses import replace
from datetime import timedelta

from auth.core.errors import InvalidToken
from auth.core.models import Actor, Client, RevocationReason, User
from auth.core.text import require_email
from auth.crypto.passwords import Passwords
from auth.notifications.mail_contents import PasswordChanged, ResetPassword
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.sessions.types import Revoked
from auth.stores.one_time_tokens import OneTimeTokens, Purpose

LINK_LIFE = timedelta(minutes=15)


class PasswordReset(Operation):
    """Mails and redeems reset links."""

    def __init__(
        self, services: Services, *, tokens: OneTimeTokens, passwords: Passwords, endings: SessionEndings
    ) -> None:
        super().__init__(services)
        self._tokens = tokens
        self._passwords = passwords
        self._endings = endings

    async def ask(self, email: str, *, client: Client) -> None:
        """Mail a link if the account exists, without revealing whether it does.

        Raises `InvalidRequest` for an invalid address, `RateLimited` by the caller's IP address, or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        address = require_email(email)
        now = self._clock()
        user = await self._users.by_email(address.key)
        await self._audit.record(
            "password_reset_asked", user_id=user.user_id if user else None, client=client, now=now
        )
        if not await self._limits.allows_mail("password_reset", address.key, is_sent=user is not None):
            return
        if user is None:
            # As many writes as for the token and the mail.
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
        content = ResetPassword(token=token, requested_at=now, valid_for=LINK_LIFE, ip=client.ip)
        await self._mailer.send(user, content)

    async def reset(
        self, token: str, *, password: str, keep_sessions: bool, client: Client
    ) -> tuple[User, Revoked]:
        """Set a new password; return the user and the sessions that were ended.

        Raises `InvalidRequest` for an unacceptable password, which leaves the link valid, `InvalidToken` for a
        link that is no longer valid, `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        now = self._clock()
        found = await self._tokens.find(token, Purpose.RESET_PASSWORD, now=now)
        user = await self._users.by_id(found.user_id) if found else None
        if found is None or user is None or found.data["credentialsVersion"] != str(user.credentials_version):
            raise _invalid_link()
        await self._passwords.check(
            password,
            context=(user.email, user.name, user.username),
            current_hash=user.password_hash,
            ip=client.ip,
        )
        new_hash = await self._passwords.hash(password, ip=client.ip)
        now = self._clock()
        keeps = keep_sessions and user.email_verified_at is not None
        ends = None if keeps else ending(now, RevocationReason.PASSWORD_CHANGED, by=Actor("user"))
        # The new credentials version invalidates the link, so no further write is needed.
        changed = await self._users.replace_password(
            user.user_id,
            after=user.credentials_version,
            new_hash=new_hash,
            ends=ends,
            now=now,
            verifies=found.email_key,
        )
        if changed is None:
            raise _invalid_link()
        await self._audit.record("password_reset", user_id=user.user_id, client=client, now=now)
        await self._mailer.tell(changed, PasswordChanged(at=now, ip=client.ip))
        if ends is None:
            return changed, Revoked()
        revoked = await self._endings.carry_out(user.user_id, ends, client=client)
        return replace(changed, sessions_to_end=None), revoked


def _invalid_link() -> InvalidToken:
    return InvalidToken("This link is no longer valid. Request a new one.")
