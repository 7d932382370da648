"""Undo links, in mails about an added factor or login method, for users who did not add it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from auth.core.models import User
from auth.stores.one_time_tokens import OneTimeTokens, Purpose

# Also for "this wasn't me" links: enough for users who read their mail once a week.
LINK_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class AddedMethod:
    """An added login method. `kind`: `totp`, `passkey`, `phone` or `identity`; `which`: its id.

    An authenticator app is identified by when it was enabled, so a link cannot remove one that was added later.
    """

    kind: str
    which: str = field(repr=False)


class UndoLinks:
    """Issues undo links; auth/alerts/factor_removal.py redeems them."""

    def __init__(self, tokens: OneTimeTokens) -> None:
        self._tokens = tokens

    async def issue(self, user: User, added: AddedMethod, *, now: datetime) -> str:
        """Issue a link for the account's current address and return its token. Raises `Unavailable`."""
        return await self._tokens.issue(
            Purpose.UNDO_FACTOR,
            user_id=user.user_id,
            email_key=user.email.casefold(),
            now=now,
            expires_at=now + LINK_LIFE,
            remove_at=now + LINK_LIFE,
            data={"kind": added.kind, "which": added.which},
        )
