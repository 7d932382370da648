"""What a user sees and changes of their own account."""

from auth.accounts import clean_name, clean_username, username_taken
from auth.errors import SessionRevoked
from auth.models import Principal, User
from auth.stores.users import UsernameTaken, Users


class Unset:
    """A field that a change does not mention, as distinct from one set to nothing."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


class Profile:
    """A user's own account."""

    def __init__(self, *, users: Users) -> None:
        self._users = users

    async def me(self, principal: Principal) -> User:
        """The principal's account. Raises `SessionRevoked` when it is gone."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return user

    async def update(
        self, principal: Principal, *, name: str | Unset | None = UNSET, username: str | Unset | None = UNSET
    ) -> User:
        """Change what is mentioned: None clears a field, `UNSET` leaves it.

        Raises `InvalidRequest` for a value that will not do or a username that is taken.
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
