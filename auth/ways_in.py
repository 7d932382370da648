"""Ways in: what an account can be entered by. The last one is not taken away: nobody locks themselves out."""

from collections.abc import Sequence
from typing import Protocol

from auth.models import User


class WayIn(Protocol):
    """One kind of way in."""

    async def is_open(self, user: User) -> bool:
        """Whether the user could log in by it now."""


class PasswordWay:
    """The password."""

    async def is_open(self, user: User) -> bool:
        """Whether the account has one."""
        return user.password_hash is not None


class WaysIn:
    """Every kind that this server knows."""

    def __init__(self, ways: Sequence[WayIn]) -> None:
        self._ways = tuple(ways)

    async def any_open(self, user: User) -> bool:
        """Whether the user could log in at all."""
        for way in self._ways:
            if await way.is_open(user):
                return True
        return False
