"""Sessions: one document a login. The truth about rotation and revocation.

Each method is one atomic act on the server; none reads, decides and then writes. A write that others must
hear of leaves a mark in `unpublished` in the same update, taken off once the bus has it: a crash or an
outage in between delays the news and never loses it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from auth.errors import Unavailable
from auth.models import Actor, Client, Device, Location, RevocationReason, Session, Sighting
from auth.stores.gathering import Gathering
from auth.stores.mongo import OUTAGES, Database, outage_is_unavailable
from auth.stores.rotations import Rotated, Rotation
from auth.stores.session_documents import document_of, location_of, session_of

# More than a person can have; a list longer than this is cut, a revocation never is.
MAX_LISTED = 200
# What one query for the lists of several users may bring; beyond it each is asked for by itself.
MAX_LISTED_TOGETHER = 600
# A storm of refreshes leaves room for all else; the fewer at once, the more go together.
ROTATIONS_AT_ONCE = 2
TURN_SECONDS = 30.0
# While MongoDB is down, whoever waits in that line is told so at once.
DOWN_SECONDS = 1.0

# What an ended session gives up (stores/session_places.py).
PLACE_LEFT = {"place": ""}

# An id and the time at which something is asked about it.
IdThen = tuple[str, datetime]


class PlaceTaken(Exception):
    """Another live session of the user has this place."""


class Sessions:
    """The collection `sessions`. `revoked_kept` is how long a revoked session stays as audit trail."""

    def __init__(self, database: Database, *, revoked_kept: timedelta) -> None:
        self._sessions = database["sessions"]
        self._revoked_kept = revoked_kept
        self._live = Gathering(self._live_of_each)
        self._confirmed = Gathering(self._confirm_each)
        self._touched = Gathering(self._touch_each)
        self._published = Gathering(self._mark_each_published)
        self._rotated = Gathering(self._rotate_each, at_once=ROTATIONS_AT_ONCE)
        self._down_until = float("-inf")

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes; again is a no-op."""
        await self._sessions.create_index([("userId", 1), ("revokedAt", 1), ("lastSeenAt", -1)])
        await self._sessions.create_index([("userId", 1), ("loggedInAt", -1)])
        await self._sessions.create_index("purgeAt", expireAfterSeconds=0)
        await self._sessions.create_index("revocationId", sparse=True)
        await self._sessions.create_index("revokedAt")
        await self._sessions.create_index(
            "unpublishedSince", partialFilterExpression={"unpublishedSince": {"$exists": True}}
        )
        await self._sessions.create_index(
            "expiresAt", partialFilterExpression={"revokedAt": None, "expiredAt": None}
        )

    @outage_is_unavailable
    async def create(self, session: Session, *, place: int | None = None) -> None:
        """Add a new session, marked as not yet announced.

        With `place`, as the one live session of its user that has it: a unique index decides, so that of any
        number of callers on any node one gets it, until the session ends. Raises `PlaceTaken`.
        """
        document = document_of(session) | {"unpublished": ["created"], "unpublishedSince": session.logged_in_at}
        try:
            await self._sessions.insert_one(document if place is None else document | {"place": place})
        except DuplicateKeyError:
            raise PlaceTaken from None

    @outage_is_unavailable
    async def get(self, session_id: str) -> Session | None:
        """The session, live or not, while it is kept."""
        document = await self._sessions.find_one({"_id": session_id})
        return session_of(document) if document else None

    @outage_is_unavailable
    async def rotate(
        self,
        session_id: str,
        *,
        nonce_hash: bytes,
        from_generation: int,
        client: Client,
        location: Location | None,
        now: datetime,
        idle_life: timedelta,
    ) -> Rotated | None:
        """Move a live session from `from_generation` to the next; None when it was not there to be moved.

        One conditional update: of any number of callers with one generation exactly one succeeds, and a
        revoked or expired session is never written, so no refresh in flight can bring it back.

        Those that are asked for at one time go together: one command with a conditional update for each, then
        one query, which tells by its stamp whether each was done. The last eight stamps are kept; a rotation that
        eight others followed before it was read back counts as not done: its token was worth nothing by then.
        Raises `Unavailable` when it cannot tell, or the line is too long; the caller may repeat.
        """
        rotation = Rotation(
            session_id=session_id,
            nonce_hash=nonce_hash,
            from_generation=from_generation,
            ip=client.ip,
            location=location,
            now=now,
            expires_at=now + idle_life,
        )
        # When thousands of tokens end in one second, they wait here, where it costs nothing, and not for a
        # connection, where all would time out together and come back together.
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await self._rotated.ask(rotation)
        except TimeoutError:
            raise Unavailable from None

    async def _rotate_each(self, asked: Sequence[Rotation]) -> dict[Rotation, Rotated]:
        if asyncio.get_running_loop().time() < self._down_until:
            raise Unavailable
        try:
            if len(asked) == 1:
                return await self._rotate_one(asked[0])
            return await self._rotate_together(asked)
        except OUTAGES:
            self._down_until = asyncio.get_running_loop().time() + DOWN_SECONDS
            raise

    async def _rotate_one(self, rotation: Rotation) -> dict[Rotation, Rotated]:
        document = await self._sessions.find_one_and_update(
            rotation.condition, rotation.change, return_document=ReturnDocument.AFTER
        )
        return {rotation: rotation.outcome(document)} if document else {}

    async def _rotate_together(self, asked: Sequence[Rotation]) -> dict[Rotation, Rotated]:
        updates = [UpdateOne(rotation.condition, rotation.change) for rotation in asked]
        # Answers once a majority has them, or raises; a primary that was chosen since has them too.
        await self._sessions.bulk_write(updates, ordered=False)
        ids = list({rotation.session_id for rotation in asked})
        documents = await self._sessions.find({"_id": {"$in": ids}}).to_list(len(ids))
        by_id = {document["_id"]: document for document in documents}
        done = {}
        for rotation in asked:
            document = by_id.get(rotation.session_id)
            # One that was revoked since is not handed out: whoever asked is to hear that.
            if document is not None and document["revokedAt"] is None and rotation.is_in(document):
                done[rotation] = rotation.outcome(document)
        return done

    @outage_is_unavailable
    async def confirm(self, session_id: str, generation: int, *, now: datetime) -> None:
        """Note that the token pair of `generation` is in use; a no-op once a later one exists."""
        await self._confirmed.ask((session_id, generation, now))

    async def _confirm_each(self, asked: Sequence[tuple[str, int, datetime]]) -> dict[Any, None]:
        each = [
            {"_id": session_id, "generation": generation, "confirmed": False, "revokedAt": None}
            for session_id, generation, _ in asked
        ]
        # One moment for all: they asked at one time, and the time shown is to the second.
        latest = max(now for _, _, now in asked)
        await self._sessions.update_many({"$or": each}, {"$set": {"confirmed": True, "lastSeenAt": latest}})
        return {}

    @outage_is_unavailable
    async def touch(self, session_id: str, *, now: datetime) -> None:
        """Note that the device was seen; time never runs backwards."""
        await self._touched.ask((session_id, now))

    async def _touch_each(self, asked: Sequence[IdThen]) -> dict[Any, None]:
        ids, latest = [session_id for session_id, _ in asked], max(now for _, now in asked)
        found = {"_id": {"$in": ids}, "revokedAt": None}
        await self._sessions.update_many(found, {"$max": {"lastSeenAt": latest}})
        return {}

    @outage_is_unavailable
    async def live_of_user(self, user_id: str, *, now: datetime) -> list[Session]:
        """The user's live sessions, last seen first, at most 200."""
        return await self._live.ask((user_id, now)) or []

    async def _live_of_each(self, asked: Sequence[IdThen]) -> dict[IdThen, list[Session]]:
        """What `live_of_user` answers to each (user, now): from one query, unless somebody has very many."""
        if len(asked) > 1:
            user_ids = list({user_id for user_id, _ in asked})
            earliest = min(now for _, now in asked)
            cursor = self._sessions.find(
                {"userId": {"$in": user_ids}, "revokedAt": None, "expiresAt": {"$gt": earliest}}
            )
            documents = await cursor.to_list(MAX_LISTED_TOGETHER)
            if len(documents) < MAX_LISTED_TOGETHER:
                by_user: dict[str, list[Session]] = {user_id: [] for user_id in user_ids}
                for document in sorted(documents, key=itemgetter("lastSeenAt"), reverse=True):
                    by_user[document["userId"]].append(session_of(document))
                return {
                    (user_id, now): [each for each in by_user[user_id] if each.expires_at > now][:MAX_LISTED]
                    for user_id, now in asked
                }
        return {(user_id, now): await self._live_of_one(user_id, now) for user_id, now in asked}

    async def _live_of_one(self, user_id: str, now: datetime) -> list[Session]:
        cursor = self._sessions.find({"userId": user_id, "revokedAt": None, "expiresAt": {"$gt": now}})
        return [session_of(document) for document in await cursor.sort("lastSeenAt", -1).to_list(MAX_LISTED)]

    @outage_is_unavailable
    async def live_among(self, session_ids: Sequence[str], *, now: datetime) -> set[str]:
        """Which of `session_ids` are live: what a node that cannot hear the bus asks."""
        cursor = self._sessions.find(
            {"_id": {"$in": list(session_ids)}, "revokedAt": None, "expiresAt": {"$gt": now}}, {"_id": 1}
        )
        return {document["_id"] for document in await cursor.to_list(len(session_ids) or 1)}

    @outage_is_unavailable
    async def sightings(self, session: Session) -> list[Sighting]:
        """What the user's other sessions tell of them, live or not, while they are kept; last seen first.

        Of the 200 begun last, found by an index: whoever logs in ten thousand times pays for two hundred.
        """
        cursor = self._sessions.find(
            {"userId": session.user_id, "_id": {"$ne": session.session_id}},
            {"device": 1, "location": 1, "lastSeenAt": 1},
        )
        found = await cursor.sort("loggedInAt", -1).to_list(MAX_LISTED)
        sightings = [
            Sighting(Device(**each["device"]), location_of(each["location"]), each["lastSeenAt"]) for each in found
        ]
        return sorted(sightings, key=lambda sighting: sighting.at, reverse=True)

    @outage_is_unavailable
    async def revoke(
        self,
        session_id: str,
        *,
        user_id: str,
        reason: RevocationReason,
        by: Actor,
        ip: str | None,
        now: datetime,
    ) -> Session | None:
        """End a live session of `user_id`; the ended session, or None when there was none to end.

        One conditional update: a session is ended once, by whoever came first.
        """
        document = await self._sessions.find_one_and_update(
            {"_id": session_id, "userId": user_id, "revokedAt": None, "expiresAt": {"$gt": now}},
            {
                "$set": self._revocation(reason, by, ip, now),
                "$addToSet": {"unpublished": "ended"},
                "$unset": PLACE_LEFT,
            },
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None

    @outage_is_unavailable
    async def revoke_all(
        self,
        user_id: str,
        *,
        revocation_id: str,
        keep: str | None,
        reason: RevocationReason,
        by: Actor,
        ip: str | None,
        now: datetime,
        begun_by: datetime | None = None,
    ) -> list[Session]:
        """End every live session of the user but `keep`; the sessions that this call ended.

        `begun_by`: only those that had begun by then.

        Each is ended by its own conditional update. `revocation_id` is unique to the call and tells its
        sessions from those that another call ended at the same moment.
        """
        found: dict[str, Any] = {"userId": user_id, "_id": {"$ne": keep}, "revokedAt": None}
        if begun_by is not None:
            found["loggedInAt"] = {"$lte": begun_by}
        await self._sessions.update_many(
            found | {"expiresAt": {"$gt": now}},
            {
                "$set": self._revocation(reason, by, ip, now) | {"revocationId": revocation_id},
                "$addToSet": {"unpublished": "ended"},
                "$unset": PLACE_LEFT,
            },
        )
        cursor = self._sessions.find({"revocationId": revocation_id})
        return [session_of(document) async for document in cursor]

    @outage_is_unavailable
    async def expire_one(self, *, now: datetime) -> Session | None:
        """Claim one expired session whose end nobody has told yet; None when there is none."""
        document = await self._sessions.find_one_and_update(
            {"revokedAt": None, "expiredAt": None, "expiresAt": {"$lte": now}},
            {
                "$set": {"expiredAt": now, "unpublishedSince": now},
                "$addToSet": {"unpublished": "ended"},
                "$unset": PLACE_LEFT,
            },
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None

    @outage_is_unavailable
    async def mark_published(self, session_id: str, news: Iterable[str]) -> None:
        """Take marks off once the bus has the news."""
        await self._published.ask((session_id, tuple(news)))

    async def _mark_each_published(self, asked: Sequence[tuple[str, tuple[str, ...]]]) -> dict[Any, None]:
        for news in {news for _, news in asked}:
            await self._mark_all_published([session_id for session_id, of in asked if of == news], news)
        return {}

    async def _mark_all_published(self, session_ids: Sequence[str], news: Sequence[str]) -> None:
        await self._sessions.update_many(
            {"_id": {"$in": list(session_ids)}},
            [
                {"$set": {"unpublished": {"$setDifference": ["$unpublished", list(news)]}}},
                {
                    "$set": {
                        "unpublishedSince": {
                            "$cond": [{"$eq": ["$unpublished", []]}, "$$REMOVE", "$unpublishedSince"]
                        }
                    }
                },
            ],
        )

    @outage_is_unavailable
    async def mark_unpublished(self, session_id: str, news: Iterable[str], *, now: datetime) -> None:
        """Mark news that the bus did not take."""
        await self._sessions.update_one(
            {"_id": session_id},
            {"$addToSet": {"unpublished": {"$each": list(news)}}, "$set": {"unpublishedSince": now}},
        )

    @outage_is_unavailable
    async def claim_unpublished(self, *, before: datetime, now: datetime) -> tuple[Session, frozenset[str]] | None:
        """Claim one session with news older than `before` that never reached the bus.

        The claim moves its time to `now`: no other node takes it until that is older than `before` too.
        """
        document = await self._sessions.find_one_and_update(
            {"unpublishedSince": {"$lt": before}},
            {"$set": {"unpublishedSince": now}},
            sort=[("unpublishedSince", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return (session_of(document), frozenset(document["unpublished"])) if document else None

    @outage_is_unavailable
    async def revoked_since(self, moment: datetime) -> list[tuple[str, datetime]]:
        """Ids and times of the sessions revoked since `moment`, to fill a deny-list that lost its data."""
        cursor = self._sessions.find({"revokedAt": {"$gte": moment}}, {"revokedAt": 1})
        return [(document["_id"], document["revokedAt"]) async for document in cursor]

    @outage_is_unavailable
    async def assure(self, session_id: str, *, amr: Sequence[str], now: datetime) -> Session | None:
        """Note a proof given on a live session, for every token minted from now on; None when it is not live."""
        document = await self._sessions.find_one_and_update(
            {"_id": session_id, "revokedAt": None, "expiresAt": {"$gt": now}},
            {"$set": {"assuredAt": now}, "$addToSet": {"amr": {"$each": list(amr)}}},
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None

    def _revocation(self, reason: RevocationReason, by: Actor, ip: str | None, now: datetime) -> dict[str, Any]:
        return {
            "revokedAt": now,
            "revokedReason": reason.value,
            "revokedBy": {"kind": by.kind, "sessionId": by.session_id},
            "revokedIp": ip,
            "purgeAt": now + self._revoked_kept,
            "unpublishedSince": now,
        }
