"""Second factors: what a user has set up besides the first, and how an answer to each is judged."""

from collections.abc import Sequence
from typing import Protocol

from auth.errors import InvalidCode
from auth.models import MULTI_FACTOR, FactorAnswer, Principal, User
from auth.stores.challenges import Challenge

# What an answer is given for: the login that waits for it, or the session that steps up.
Occasion = Challenge | Principal


class SecondFactor(Protocol):
    """One kind of second factor. `amr` is what it adds to a session (RFC 8176).

    One that does not `stand_alone` rests on another session of the user: it can take the place of one that does,
    at a login and nowhere else. By itself it makes nobody be asked for a second factor, it serves no step-up,
    and a session begun by it is not one of several factors until it gives one of them.
    """

    method: str
    amr: tuple[str, ...]
    stands_alone: bool

    async def is_ready(self, user: User) -> bool:
        """Whether the user could answer by it right now."""

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:
        """Raise `InvalidCode` unless `answer` is right for this occasion; a right one is good once."""


class SecondFactors:
    """Every kind that this server knows."""

    def __init__(self, factors: Sequence[SecondFactor]) -> None:
        self._factors = {factor.method: factor for factor in factors}

    async def methods(self, user: User) -> tuple[str, ...]:
        """By which the user could finish a login; none: they have no second factor."""
        own = await self.own_methods(user)
        return (*own, *await self._ready(user, stands_alone=False)) if own else ()

    async def own_methods(self, user: User) -> tuple[str, ...]:
        """Which factors they have set up; only these serve a step-up."""
        return await self._ready(user, stands_alone=True)

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> tuple[str, ...]:
        """The `amr` that a right answer adds. Raises `InvalidCode` for any other, or a method not set up."""
        factor = self._factors.get(answer.method)
        if factor is None:
            raise InvalidCode
        if not factor.stands_alone:
            # Given while it was ready; the device that gave it may have gone offline since.
            if isinstance(occasion, Principal):
                raise InvalidCode
            await factor.prove(user, answer, occasion)
            return factor.amr
        if not await factor.is_ready(user):
            raise InvalidCode
        await factor.prove(user, answer, occasion)
        return (*factor.amr, MULTI_FACTOR)

    async def _ready(self, user: User, *, stands_alone: bool) -> tuple[str, ...]:
        factors = [factor for factor in self._factors.values() if factor.stands_alone is stands_alone]
        return tuple([factor.method for factor in factors if await factor.is_ready(user)])
