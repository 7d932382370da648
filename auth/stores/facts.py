"""Facts, numbered without gaps, and the lease of the process that numbers them.

One process at a time appends. If another has taken over meanwhile, a number is taken and nothing is written: so
the order is the same for every reader, and no change becomes a fact twice. Each fact has the position of its
change, so the next process goes on exactly after the last fact.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson.timestamp import Timestamp
from pymongo import DESCENDING
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from auth.core.facts import FactPage, FactType, NewFact, StoredFact
from auth.stores.change_feed import FeedStart
from auth.stores.mongo import DUPLICATE_KEY, Database, Document, outage_is_unavailable, write_errors

RELAY = "relay"


class NumberTaken(Exception):
    """Another process has appended facts."""


@dataclass(frozen=True, slots=True)
class RelayState:
    """The number of the last fact, and where the feed goes on."""

    number: int
    start: FeedStart


class FactStore:
    """The collections `facts` and `fact_relay`."""

    def __init__(self, database: Database, *, kept: timedelta) -> None:
        self._database = database
        self._facts = database["facts"]
        self._relay = database["fact_relay"]
        self._kept = kept

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the TTL index."""
        await self._facts.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @property
    def _seen(self) -> Database:
        # Readers see only what no failover takes back.
        return self._facts.with_options(read_concern=ReadConcern("majority"))

    @outage_is_unavailable
    async def begin(self) -> None:
        """Record, once per database, the time from which on there are facts."""
        if await self._relay.find_one({"_id": RELAY}, {"_id": 1}) is None:
            answer = await self._database.command("ping")
            begun: Document = {"time": answer.get("operationTime"), "number": 0, "position": None}
            with contextlib.suppress(DuplicateKeyError):  # another process has done the same
                await self._relay.update_one({"_id": RELAY}, {"$setOnInsert": begun}, upsert=True)

    @outage_is_unavailable
    async def claim(self, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease; False while another process has it."""
        done = await self._relay.update_one(
            {"_id": RELAY, "$or": [{"owner": owner}, {"until": {"$lte": now}}, {"until": None}]},
            {"$set": {"owner": owner, "until": until}},
        )
        return bool(done.matched_count)

    @outage_is_unavailable
    async def release(self, owner: str) -> None:
        """Give the lease back, so that another process need not wait until it runs out."""
        await self._relay.update_one({"_id": RELAY, "owner": owner}, {"$set": {"until": None, "owner": None}})

    @outage_is_unavailable
    async def state(self) -> RelayState:
        """Where to go on. Raises `Unavailable`."""
        document = await self._relay.find_one({"_id": RELAY}) or {}
        last = await self._facts.find_one({}, sort=[("_id", DESCENDING)])
        number, position = document.get("number", 0), document.get("position")
        if last is not None and last["_id"] > number:
            number, position = last["_id"], last["position"] or position
        time = document.get("time")
        return RelayState(number, FeedStart(position, time if isinstance(time, Timestamp) else None))

    @outage_is_unavailable
    async def note_position(self, number: int, position: str) -> None:
        """Record that there is no fact between the fact `number` and a position, which may be much later."""
        await self._relay.update_one(
            {"_id": RELAY, "number": {"$lte": number}}, {"$set": {"number": number, "position": position}}
        )

    @outage_is_unavailable
    async def append(self, facts: Sequence[tuple[NewFact, str]], *, after: int, now: datetime) -> int:
        """Append facts, each with the position of its change, after the fact `after`; the last number.

        Raises `NumberTaken` if another process has done so; facts before the taken number are stored.
        """
        documents = [
            {
                "_id": after + place,
                "type": fact.type.value,
                "at": fact.at,
                "userId": fact.user_id,
                "sessionId": fact.session_id,
                "data": dict(fact.data),
                "position": position,
                "removeAt": now + self._kept,
            }
            for place, (fact, position) in enumerate(facts, start=1)
        ]
        try:
            await self._facts.insert_many(documents, ordered=True)
        except BulkWriteError as error:
            if any(each["code"] == DUPLICATE_KEY for each in write_errors(error)):
                raise NumberTaken from None
            raise
        return after + len(documents)

    @outage_is_unavailable
    async def bounds(self) -> tuple[int, int]:
        """The numbers of the oldest kept fact and of the last one; the oldest is one greater if none is kept."""
        first = await self._seen.find_one({}, {"_id": 1}, sort=[("_id", 1)])
        last = await self._seen.find_one({}, {"_id": 1}, sort=[("_id", DESCENDING)])
        if first is None or last is None:
            document = await self._relay.find_one({"_id": RELAY}, {"number": 1}) or {}
            number = document.get("number", 0)
            return number + 1, number
        return first["_id"], last["_id"]

    @outage_is_unavailable
    async def last(self) -> int:
        """The number of the last fact."""
        return (await self.bounds())[1]

    @outage_is_unavailable
    async def after(self, number: int, *, limit: int) -> FactPage:
        """At most `limit` facts after a number, from the oldest kept one on."""
        found = self._seen.find({"_id": {"$gt": number}}, sort=[("_id", 1)], limit=limit)
        facts = tuple(_fact(document) for document in await found.to_list(limit))
        if facts and facts[0].number == number + 1:
            return FactPage(facts, facts[-1].number, recovered=True)
        oldest, last = await self.bounds()
        if number > last:  # of another database, or of one that was restored
            return FactPage((), oldest - 1, recovered=False)
        return FactPage(facts, facts[-1].number if facts else last, recovered=number + 1 >= oldest)

    @outage_is_unavailable
    async def get(self, numbers: Sequence[int]) -> dict[int, StoredFact]:
        """Those of these facts that are kept."""
        found = self._seen.find({"_id": {"$in": list(numbers)}})
        return {document["_id"]: _fact(document) for document in await found.to_list(len(numbers))}


def _fact(document: Document) -> StoredFact:
    fact = NewFact(
        FactType(document["type"]), document["at"], document["userId"], document["sessionId"], document["data"]
    )
    return StoredFact(document["_id"], fact)
