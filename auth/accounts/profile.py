"""A user's profile: read and update."""

from auth.core.clock import Clock
from auth.core.errors import SessionRevoked
from auth.core.models import PendingEmail, Principal, User
from auth.core.text import clean_name, clean_username, username_taken
from auth.stores.users.store import UsernameTaken, Users


class Unset:
    """Marks a field that an update omits, as opposed to one that it clears."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


class Profile:
    """A user's own account."""

    def __init__(self, *, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock

    def pending_email(self, user: User) -> PendingEmail | None:
        """The change of address that the user's mailboxes can still confirm."""
        pending = user.pending_email
        return pending if pending and pending.expires_at > self._clock() else None

    async def me(self, principal: Principal) -> User:
        """Return the principal's account. Raises `SessionRevoked` if it is deleted."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return user

    async def update(
        self, principal: Principal, *, name: str | Unset | None = UNSET, username: str | Unset | None = UNSET
    ) -> User:
        """Update the profile: None clears a field, `UNSET` leaves it unchanged.

        Raises `InvalidRequest` for an invalid value or a username that is taken.
        """
        changes: dict[str, str | None] = {}
        if not isinstance(name, Unset):
            changes["name"] = clean_name(name)
        if not isinstance(username, Unset):
            changes["username"] = clean_username(username)
        try:
            user = await self._users.update_profile(principal.user_id, changes)
        except UsernameTaken:
            raise username_taken() from None
        if user is None:
            raise SessionRevoked
        return user
