"""Second factors: what a user has set up besides the first, and how an answer to each is judged."""

from collections.abc import Sequence
from typing import Protocol

from auth.errors import InvalidCode
from auth.models import FactorAnswer, User
from auth.stores.challenges import Challenge


class SecondFactor(Protocol):
    """One kind of second factor. `amr` is what it adds to a session (RFC 8176)."""

    method: str
    amr: tuple[str, ...]

    async def is_ready(self, user: User) -> bool:
        """Whether the user could answer by it right now."""

    async def prove(self, user: User, answer: FactorAnswer, challenge: Challenge | None) -> None:
        """Raise `InvalidCode` unless `answer` is right; a right one is good once.

        `challenge` is the login that waits for it; None for a step-up.
        """


class SecondFactors:
    """Every kind that this server knows."""

    def __init__(self, factors: Sequence[SecondFactor]) -> None:
        self._factors = {factor.method: factor for factor in factors}

    async def methods(self, user: User) -> tuple[str, ...]:
        """By which the user could answer; none: they have no second factor."""
        return tuple([method for method, factor in self._factors.items() if await factor.is_ready(user)])

    async def prove(self, user: User, answer: FactorAnswer, challenge: Challenge | None = None) -> tuple[str, ...]:
        """The `amr` that a right answer adds. Raises `InvalidCode` for any other, or a method not set up."""
        factor = self._factors.get(answer.method)
        if factor is None or not await factor.is_ready(user):
            raise InvalidCode
        await factor.prove(user, answer, challenge)
        return factor.amr
