"""Second factors: the interface of each kind, and the registry of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from auth.core.errors import InvalidCode
from auth.core.models import MULTI_FACTOR, FactorAnswer, Principal, User
from auth.stores.challenges import Challenge

# The context of an answer: a login that waits for its second factor, or a session that steps up.
Occasion = Challenge | Principal


@dataclass(frozen=True, slots=True)
class Proof:
    """A right answer: the `amr` values that it adds, and the id of the session that approved, if one did."""

    amr: tuple[str, ...]
    approved_by: str | None = None


class SecondFactor(Protocol):
    """One kind of second factor. `amr`: the values it adds to a session (RFC 8176).

    A factor that is not `stands_alone` depends on another session of the user. It can replace another second
    factor, only at a login: it does not by itself require a second factor, is not accepted for a step-up, and does
    not make a session multi-factor.
    """

    method: str
    amr: tuple[str, ...]
    stands_alone: bool

    async def is_ready(self, user: User) -> bool:
        """Whether the user could use this factor now."""

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> str | None:
        """Raise `InvalidCode` unless `answer` is right for this occasion. A right answer is accepted only once.

        Returns the id of the session that approved, if the factor is the approval of another session.
        """


class SecondFactors:
    """The second factors that this server supports."""

    def __init__(self, factors: Sequence[SecondFactor]) -> None:
        self._factors = {factor.method: factor for factor in factors}

    async def methods(self, user: User) -> tuple[str, ...]:
        """Return the methods that could complete a login; empty if no second factor is set up."""
        own = await self.own_methods(user)
        return (*own, *await self._ready(user, stands_alone=False)) if own else ()

    async def own_methods(self, user: User) -> tuple[str, ...]:
        """Return the methods that the user has set up; only these are accepted for a step-up."""
        return await self._ready(user, stands_alone=True)

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> Proof:
        """Verify an answer.

        Raises `InvalidCode` for a wrong answer or a method that is not set up.
        """
        factor = self._factors.get(answer.method)
        if factor is None:
            raise InvalidCode
        if not factor.stands_alone:
            # `is_ready` is not checked: the device that approved may have gone offline since.
            if isinstance(occasion, Principal):
                raise InvalidCode
            return Proof(factor.amr, approved_by=await factor.prove(user, answer, occasion))
        if not await factor.is_ready(user):
            raise InvalidCode
        await factor.prove(user, answer, occasion)
        return Proof((*factor.amr, MULTI_FACTOR))

    async def _ready(self, user: User, *, stands_alone: bool) -> tuple[str, ...]:
        factors = [factor for factor in self._factors.values() if factor.stands_alone is stands_alone]
        return tuple([factor.method for factor in factors if await factor.is_ready(user)])
