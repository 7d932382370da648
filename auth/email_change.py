"""Changing the e-mail address: with a recent proof, and a click in both mailboxes within an hour.

The new one shows that its owner wants it, the old one that its owner gives it up: neither a stolen session nor a
mistyped address can take an account away (ASVS 5.0, 7.5.1). Whether the new address is taken is told to nobody:
then its owner gets no link, the change never comes about, and the work is the same.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from auth.accounts import require_email
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import FieldError, InvalidRequest, InvalidToken
from auth.models import Client, Principal, User
from auth.rate_limits import RateLimits
from auth.step_up import StepUp
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.users import EmailTaken, Users

LINK_LIFE = timedelta(hours=1)


class Side(StrEnum):
    """Whose mailbox a link went to, and which were confirmed."""

    OLD = "old"
    NEW = "new"
    BOTH = "both"


class ChangeMailer(Protocol):
    """Mails the links, and that the change was made."""

    async def confirm_new_address(
        self, user: User, to: str, *, token: str, requested_at: datetime, valid_for: timedelta
    ) -> None:
        """Queue the mail to the new address."""

    async def confirm_old_address(
        self, user: User, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> None:
        """Queue the mail to the old address."""

    async def email_changed(self, user: User, to: str, *, at: datetime, ip: str) -> None:
        """Tell the old address that it is no longer the account's."""


class EmailChange:
    """Moves an account to another address."""

    def __init__(
        self,
        *,
        users: Users,
        tokens: OneTimeTokens,
        step_up: StepUp,
        mailer: ChangeMailer,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._step_up = step_up
        self._mailer = mailer
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def ask(self, principal: Principal, email: str, *, client: Client) -> None:
        """Mail a link to both addresses. A later request voids the links of an earlier one.

        Raises `InvalidRequest`, `StepUpRequired`, `RateLimited` or `Unavailable`.
        """
        user = await self._step_up.require(principal)
        address = require_email(email)
        if address.key == user.email.casefold():
            raise InvalidRequest(errors=[FieldError("email", "This is your address already.")])
        await self._limits.hit("mail", "email_change", user.user_id)
        now = self._clock()
        taken = await self._users.by_email(address.key) is not None
        change_id = await self._users.begin_email_change(
            user.user_id, email=address.address, now=now, expires_at=now + LINK_LIFE
        )
        await self._audit.record(
            "email_change_asked", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        old = await self._issue(user, change_id, Side.OLD, user.email.casefold(), now)
        await self._mailer.confirm_old_address(
            user, token=old, requested_at=now, ip=client.ip, valid_for=LINK_LIFE
        )
        if not await self._limits.allows_mail("new_address", address.key, is_sent=not taken):
            return
        if taken:
            # The token and the mail.
            await self._tokens.pretend(writes=2, now=now)
        else:
            new = await self._issue(user, change_id, Side.NEW, address.key, now)
            await self._mailer.confirm_new_address(
                user, address.address, token=new, requested_at=now, valid_for=LINK_LIFE
            )

    async def confirm(self, token: str, *, client: Client) -> tuple[User, Side]:
        """Take the click in one mailbox; with the second one the change is made.

        The same link followed again says the same. Raises `InvalidToken` for a link of a change that is over, or
        was replaced, and when the address was taken by somebody else meanwhile.
        """
        now = self._clock()
        found = await self._tokens.consume(token, Purpose.CHANGE_EMAIL, now=now)
        if found is None:
            raise _not_good()
        side, change_id = Side(found.data["side"] or ""), found.data["changeId"] or ""
        try:
            confirmed = await self._users.confirm_email_change(
                found.user_id, change_id=change_id, new=side is Side.NEW, now=now
            )
        except EmailTaken:
            raise _not_good() from None
        if confirmed is None:
            raise _not_good()
        if not confirmed.is_made:
            return confirmed.user, side
        if confirmed.newly:
            await self._audit.record(
                "email_changed", user_id=found.user_id, session_id=None, client=client, now=now
            )
            await self._mailer.email_changed(confirmed.user, confirmed.old_email, at=now, ip=client.ip)
        return confirmed.user, Side.BOTH

    async def _issue(self, user: User, change_id: str, side: Side, key: str, now: datetime) -> str:
        return await self._tokens.issue(
            Purpose.CHANGE_EMAIL,
            user_id=user.user_id,
            email_key=key,
            now=now,
            expires_at=now + LINK_LIFE,
            remove_at=now + LINK_LIFE,
            data={"changeId": change_id, "side": side.value},
        )


def _not_good() -> InvalidToken:
    return InvalidToken("This link is not good any more. Ask for the change again.")
