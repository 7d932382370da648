"""The login methods of an account. The last one cannot be removed, so that users cannot lock themselves out.

Login methods are stored in several collections. Two may be removed concurrently, or a node may die while it
removes one. So a conditional write to the account's document decides first: it names the method to remove, and
succeeds only if no other decision was made since the methods were counted. A named method no longer counts,
whether or not it has been removed yet. Decisions are never undone, so after an interruption at any point the
account still has a method that was not named.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeVar

from auth.core.errors import Conflict, SessionRevoked
from auth.core.models import User
from auth.stores.users.login_methods import AccountLoginMethods
from auth.stores.users.store import Users

T = TypeVar("T")

PASSWORD, PHONE = "password", "phone"
# An attempt fails only if a concurrent change of the same account succeeds.
MAX_ATTEMPTS = 10


class LoginMethod(Protocol):
    """One kind of login method."""

    async def usable_methods(self, user: User) -> Collection[str]:
        """Return the names of the methods of this kind with which the user can log in now."""


class PasswordMethod:
    """The password as a login method. Implements `LoginMethod`."""

    async def usable_methods(self, user: User) -> Collection[str]:
        """Return the password method if the account has a password."""
        return () if user.password_hash is None else (PASSWORD,)


class LoginMethods:
    """All kinds of login methods; removes a method unless it is the account's last."""

    def __init__(self, methods: Sequence[LoginMethod], users: Users, decisions: AccountLoginMethods) -> None:
        self._methods = tuple(methods)
        self._users = users
        self._decisions = decisions

    async def remove_phone(self, user_id: str, number: str) -> User | None:
        """Remove a number from the account; return the account, or None if it no longer has the number.

        Raises `Conflict` for the last login method, or `SessionRevoked` if the account is deleted.
        """
        removed: list[User] = []

        async def remove(user: User) -> User | None:
            if user.phone_number != number:
                return user
            after = await self._decisions.remove_phone(user_id, number, after=user.login_methods_version)
            removed.extend([after] if after else [])
            return after

        await self._decide(user_id, PHONE, remove)
        return removed[0] if removed else None

    async def discard(self, user_id: str, method: str, remove: Callable[[], Awaitable[T]]) -> T:
        """Decide to remove a method that is stored elsewhere, then call `remove` and return its result.

        Can be repeated after an interruption. Raises like `remove_phone`, and what `remove` raises.
        """

        async def name(user: User) -> User | None:
            return await self._decisions.claim_method(user_id, method, after=user.login_methods_version)

        await self._decide(user_id, method, name)
        removed = await remove()
        await self._decisions.forget_method(user_id, method)
        return removed

    async def _decide(self, user_id: str, method: str, write: Callable[[User], Awaitable[User | None]]) -> None:
        for _ in range(MAX_ATTEMPTS):
            user = await self._users.by_id(user_id)
            if user is None:
                raise SessionRevoked
            if not await self._remaining(user, method):
                raise Conflict("This is your only way to log in. Set a password first.")
            if await write(user) is not None:
                return
        raise Conflict("Someone else just changed this account. Reload it and try again.")

    async def _remaining(self, user: User, method: str) -> set[str]:
        """Return the methods left without `method`. The account was read before, so any it does not name exist."""
        found = {name for kind in self._methods for name in await kind.usable_methods(user)}
        return found - {method, *user.methods_to_remove}


def passkey_method(credential_id: bytes) -> str:
    """Return the name of a passkey as a login method."""
    return f"passkey:{credential_id.hex()}"


def identity_method(identity_id: str) -> str:
    """Return the name of a linked identity as a login method."""
    return f"identity:{identity_id}"
