"""E-mail address change: requires step-up, and confirmation from both the old and the new mailbox within an hour.

Because both owners must confirm, neither a stolen session nor a mistyped address can take over an account (ASVS
5.0, 7.5.1). The answer does not reveal whether the new address is already in use: in that case no link is sent to
it, the change is never completed, and the same work is done.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from auth.core.errors import FieldError, InvalidRequest, InvalidToken
from auth.core.models import Client, Principal, User
from auth.core.text import require_email
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import ConfirmNewAddress, ConfirmOldAddress, EmailChanged
from auth.services import Operation, Services
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.users.email_changes import EmailChanges
from auth.stores.users.store import EmailTaken

LINK_LIFE = timedelta(hours=1)


class Side(StrEnum):
    """The mailbox that a link was sent to, and the mailboxes that have confirmed."""

    OLD = "old"
    NEW = "new"
    BOTH = "both"


class EmailChange(Operation):
    """Changes the e-mail address of an account."""

    def __init__(
        self, services: Services, *, changes: EmailChanges, tokens: OneTimeTokens, step_up: StepUp
    ) -> None:
        super().__init__(services)
        self._changes = changes
        self._tokens = tokens
        self._step_up = step_up

    async def ask(self, principal: Principal, email: str, *, client: Client) -> None:
        """Mail a link to each address. A later request invalidates the links of an earlier one.

        Raises `InvalidRequest`, `StepUpRequired`, `RateLimited` or `Unavailable`.
        """
        user = await self._step_up.require(principal)
        address = require_email(email)
        if address.key == user.email.casefold():
            raise InvalidRequest(errors=[FieldError("email", "This is already your address.")])
        await self._limits.hit("mail", "email_change", user.user_id)
        now = self._clock()
        taken = await self._users.by_email(address.key) is not None
        change_id = await self._changes.begin(
            user.user_id, email=address.address, now=now, expires_at=now + LINK_LIFE
        )
        await self._audit.record(
            "email_change_asked", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        old = await self._issue(user, change_id, Side.OLD, user.email.casefold(), now)
        content = ConfirmOldAddress(token=old, requested_at=now, valid_for=LINK_LIFE, ip=client.ip)
        await self._mailer.send(user, content)
        if not await self._limits.allows_mail("new_address", address.key, is_sent=not taken):
            return
        if taken:
            # As many writes as for the token and the mail.
            await self._tokens.pretend(writes=2, now=now)
        else:
            new = await self._issue(user, change_id, Side.NEW, address.key, now)
            link = ConfirmNewAddress(token=new, requested_at=now, valid_for=LINK_LIFE)
            await self._mailer.send(user, link, to=address.address)

    async def cancel(self, principal: Principal, *, client: Client) -> None:
        """Cancel the change that waits for its confirmations, if there is one: its links become invalid."""
        if await self._changes.cancel(principal.user_id, now=self._clock()):
            await self._audit.record(
                "email_change_cancelled",
                user_id=principal.user_id,
                session_id=principal.session_id,
                client=client,
            )

    async def confirm(self, token: str, *, client: Client) -> tuple[User, Side]:
        """Record the confirmation from one mailbox; make the change once both have confirmed.

        Following a link again returns the same result. Raises `InvalidToken` if the change has expired or was
        replaced by a later one, or if another account has taken the address in the meantime.
        """
        now = self._clock()
        found = await self._tokens.consume(token, Purpose.CHANGE_EMAIL, now=now)
        if found is None:
            raise _invalid_link()
        side, change_id = Side(found.data["side"] or ""), found.data["changeId"] or ""
        try:
            confirmed = await self._changes.confirm(
                found.user_id, change_id=change_id, new=side is Side.NEW, now=now
            )
        except EmailTaken:
            raise _invalid_link() from None
        if confirmed is None:
            raise _invalid_link()
        if not confirmed.is_made:
            return confirmed.user, side
        if confirmed.newly:
            await self._audit.record("email_changed", user_id=found.user_id, client=client, now=now)
            await self._mailer.tell(confirmed.user, EmailChanged(at=now, ip=client.ip), to=confirmed.old_email)
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


def _invalid_link() -> InvalidToken:
    return InvalidToken("This link is no longer valid. Request the change again.")
