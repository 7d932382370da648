"""Facts for backends, by pages or as a stream."""

from auth.core.errors import FieldError, InvalidRequest
from auth.core.facts import FactPage
from auth.platform.cached_probe import CachedProbe
from auth.services import Operation, Services
from auth.stores.facts import FactStore

MAX_PAGE = 500
NOW = "now"
LAST_LIFE_SECONDS = 0.2


class BackendFacts(Operation):
    """Reads facts."""

    def __init__(self, services: Services, *, facts: FactStore) -> None:
        super().__init__(services)
        self._facts = facts
        # All streams of a node ask together.
        self._last = CachedProbe(facts.last, life_seconds=LAST_LIFE_SECONDS)

    async def start(self, cursor: str | None) -> int:
        """The number after which a reader begins: none is the oldest kept fact, `now` is what comes.

        Raises `InvalidRequest` or `Unavailable`.
        """
        if cursor is None:
            return (await self._facts.bounds())[0] - 1
        if cursor == NOW:
            return await self._facts.last()
        # Python's integers have other digits, too, and no bound.
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 16):
            raise InvalidRequest(errors=[FieldError("after", "This is not a cursor of this list.")])
        return int(cursor)

    async def after(self, number: int, *, limit: int) -> FactPage:
        """At most `limit` facts after a number. Raises `Unavailable`."""
        return await self._facts.after(number, limit=min(limit, MAX_PAGE))

    async def last(self) -> int:
        """The number of the last fact, some tenths of a second ago. Raises `Unavailable`."""
        return await self._last.answer()
