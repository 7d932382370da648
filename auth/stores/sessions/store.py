"""Sessions: one document per login. The source of truth for rotation and revocation.

Each method is one atomic operation in MongoDB; none reads, decides and then writes. A write that must be
announced adds a mark to `unpublished` in the same update, which is removed once the bus has it: a crash or an
outage in between delays the announcement but never loses it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError, PyMongoError

from auth.core.errors import Unavailable
from auth.core.models import Actor, Client, ClientKind, Device, Location, RevocationReason, Session, Sighting
from auth.stores.actors import actor_document
from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, is_outage, outage_is_unavailable
from auth.stores.sessions.documents import (
    document_of,
    found,
    live_at,
    location_of,
    newly_expired,
    news_before,
    session_of,
)
from auth.stores.sessions.marks import SessionMarks
from auth.stores.sessions.rotations import Rotated, Rotation

# Maximum sessions in a list, more than a user is expected to have. Revocations are not limited.
MAX_LISTED = 200
# Maximum results of a combined query for several users' lists; beyond it each user is queried separately.
MAX_LISTED_BATCH = 600
# Few concurrent commands, so that a burst of refreshes leaves room for other queries and forms larger batches.
ROTATIONS_AT_ONCE = 2
QUEUE_SECONDS = 30.0
# After an outage, queued rotations fail immediately for this long.
DOWN_SECONDS = 1.0

# Minimum interval of alerts about one pair of clients, and the number of pairs that a session remembers.
ALERT_INTERVAL = timedelta(days=1)
PAIRS_KEPT = 16

# Frees the place of an ended session (auth/stores/sessions/places.py).
FREE_PLACE = {"place": ""}

# An id and the time of the question.
IdAtTime = tuple[str, datetime]


class PlaceTaken(Exception):
    """Another live session of the user has this place."""


class SessionStore:
    """The collection `sessions`. `revoked_kept` is how long revoked sessions are kept for the audit trail.

    Large because updates of one document depend on each other: all of them require that the session has not
    ended.
    """

    def __init__(self, database: Database, *, revoked_kept: timedelta) -> None:
        self._sessions = database["sessions"]
        self._marks = SessionMarks(database)
        self._revoked_kept = revoked_kept
        self._live = BatchedReads(self._live_of_each)
        self._confirmed = BatchedReads(self._confirm_each)
        self._touched = BatchedReads(self._touch_each)
        self._rotated = BatchedReads(self._rotate_each, at_once=ROTATIONS_AT_ONCE)
        self._down_until = float("-inf")

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes if missing."""
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

        With `place`, a unique index ensures that no other live session of the user has it. Raises `PlaceTaken`.
        """
        document = document_of(session) | {"unpublished": ["created"], "unpublishedSince": session.logged_in_at}
        try:
            await self._sessions.insert_one(document if place is None else document | {"place": place})
        except DuplicateKeyError:
            raise PlaceTaken from None

    @outage_is_unavailable
    async def get(self, session_id: str, *, user_id: str | None = None) -> Session | None:
        """The session, live or not, while it is kept; only of `user_id`, if that is given."""
        document = await self._sessions.find_one(found(session_id, user_id))
        return session_of(document) if document else None

    @outage_is_unavailable
    async def rotate(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        nonce_hash: bytes,
        from_generation: int,
        client: Client,
        location: Location | None,
        kind: ClientKind | None,
        now: datetime,
        idle_life: timedelta,
    ) -> Rotated | None:
        """Move a live session from `from_generation` to the next; None if not live, or another generation or
        nonce.

        One conditional update: of concurrent callers with one generation exactly one succeeds, and a revoked or
        expired session is never written, so a concurrent refresh cannot revive it.

        Concurrent rotations are batched: one command with a conditional update for each, then one query that
        shows by its stamp whether each was applied. The last eight stamps are kept; a rotation followed by
        eight others before it is read back counts as not applied: its token is outdated. Raises `Unavailable`
        if the outcome is unknown or the queue is too long; the caller may retry.
        """
        rotation = Rotation(
            session_id=session_id,
            user_id=user_id,
            nonce_hash=nonce_hash,
            from_generation=from_generation,
            ip=client.ip,
            location=location,
            kind=kind,
            now=now,
            expires_at=now + idle_life,
        )
        # When thousands of tokens expire in the same second, rotations wait here, at no cost, instead of for a
        # connection, where all would time out and be retried at the same time.
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
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
        except PyMongoError as error:
            if is_outage(error):
                self._down_until = asyncio.get_running_loop().time() + DOWN_SECONDS
            raise

    async def _rotate_one(self, rotation: Rotation) -> dict[Rotation, Rotated]:
        document = await self._sessions.find_one_and_update(
            rotation.condition, rotation.change, return_document=ReturnDocument.AFTER
        )
        return {rotation: rotation.outcome(document)} if document else {}

    async def _rotate_together(self, asked: Sequence[Rotation]) -> dict[Rotation, Rotated]:
        updates = [UpdateOne(rotation.condition, rotation.change) for rotation in asked]
        # Returns once a majority has the updates, or raises; a primary elected since has them too.
        await self._sessions.bulk_write(updates, ordered=False)
        ids = list({rotation.session_id for rotation in asked})
        users = {rotation.user_id for rotation in asked}
        of_users = {} if None in users else {"userId": {"$in": list(users)}}
        documents = await self._sessions.find({"_id": {"$in": ids}, **of_users}).to_list(len(ids))
        by_id = {document["_id"]: document for document in documents}
        done = {}
        for rotation in asked:
            document = by_id.get(rotation.session_id)
            # A session revoked since counts as not rotated, so that the caller learns of the revocation.
            if document is not None and document["revokedAt"] is None and rotation.is_in(document):
                done[rotation] = rotation.outcome(document)
        return done

    @outage_is_unavailable
    async def count_replay(self, session: Session, *, now: datetime) -> bool:
        """Count one more moment at which the token of the generation before `session.generation` was reused.

        One conditional update: False if another caller has counted or rotated, or the session has ended. The
        caller must then read and evaluate it again.
        """
        as_read = {
            **found(session.session_id, session.user_id),
            "generation": session.generation,
            "replays": session.replays or {"$in": [0, None]},
            "confirmed": session.confirmed,
            "revokedAt": None,
        }
        counted = {"$set": {"replays": session.replays + 1, "replayedAt": now}}
        return bool((await self._sessions.update_one(as_read, counted)).matched_count)

    @outage_is_unavailable
    async def note_told(self, session_id: str, pair: str, *, user_id: str, now: datetime) -> bool:
        """Record an alert about a pair of clients of one session; False if there was one within the last day.

        One conditional update, so that of several nodes one alerts. A session keeps the last 16 pairs; if all
        are less than a day old, no new one is added, so that invented clients cannot cause a flood of mails.
        """
        yesterday = now - ALERT_INTERVAL
        update = await self._sessions.update_one(
            {
                **found(session_id, user_id),
                "told": {"$not": {"$elemMatch": {"pair": pair, "at": {"$gt": yesterday}}}},
                "$or": [{f"told.{PAIRS_KEPT - 1}": {"$exists": False}}, {"told.0.at": {"$lte": yesterday}}],
            },
            {"$push": {"told": {"$each": [{"pair": pair, "at": now}], "$slice": -PAIRS_KEPT}}},
        )
        return bool(update.matched_count)

    @outage_is_unavailable
    async def confirm(self, session_id: str, generation: int, *, user_id: str, now: datetime) -> None:
        """Record that the token pair of `generation` is in use; a no-op if there is a later generation."""
        await self._confirmed.ask((session_id, generation, user_id, now))

    async def _confirm_each(self, asked: Sequence[tuple[str, int, str, datetime]]) -> dict[Any, None]:
        each = [
            found(session_id, user_id) | {"generation": generation, "confirmed": False, "revokedAt": None}
            for session_id, generation, user_id, _ in asked
        ]
        # One time for the whole batch, accurate enough as it is shown to the second.
        latest = max(now for *_, now in asked)
        await self._sessions.update_many({"$or": each}, {"$set": {"confirmed": True, "lastSeenAt": latest}})
        return {}

    @outage_is_unavailable
    async def touch(self, session_id: str, *, user_id: str, now: datetime) -> None:
        """Record that the device was seen; `lastSeenAt` never decreases."""
        await self._touched.ask((session_id, user_id, now))

    async def _touch_each(self, asked: Sequence[tuple[str, str, datetime]]) -> dict[Any, None]:
        ids, users, times = map(list, zip(*asked, strict=True))
        which = {"_id": {"$in": ids}, "userId": {"$in": users}, "revokedAt": None}
        await self._sessions.update_many(which, {"$max": {"lastSeenAt": max(times)}})
        return {}

    @outage_is_unavailable
    async def live_of_user(self, user_id: str, *, now: datetime) -> list[Session]:
        """The user's live sessions, last seen first, at most 200."""
        return await self._live.ask((user_id, now)) or []

    async def _live_of_each(self, asked: Sequence[IdAtTime]) -> dict[IdAtTime, list[Session]]:
        """Answers `live_of_user` for each (user, now), from one query unless it has too many results."""
        if len(asked) > 1:
            user_ids = list({user_id for user_id, _ in asked})
            earliest = min(now for _, now in asked)
            cursor = self._sessions.find({"userId": {"$in": user_ids}, **live_at(earliest)})
            documents = await cursor.to_list(MAX_LISTED_BATCH)
            if len(documents) < MAX_LISTED_BATCH:
                by_user: dict[str, list[Session]] = {user_id: [] for user_id in user_ids}
                for document in sorted(documents, key=itemgetter("lastSeenAt"), reverse=True):
                    by_user[document["userId"]].append(session_of(document))
                return {
                    (user_id, now): [each for each in by_user[user_id] if each.expires_at > now][:MAX_LISTED]
                    for user_id, now in asked
                }
        return {(user_id, now): await self._live_of_one(user_id, now) for user_id, now in asked}

    async def _live_of_one(self, user_id: str, now: datetime) -> list[Session]:
        cursor = self._sessions.find({"userId": user_id, **live_at(now)})
        return [session_of(document) for document in await cursor.sort("lastSeenAt", -1).to_list(MAX_LISTED)]

    @outage_is_unavailable
    async def live_among(
        self, session_ids: Sequence[str], *, user_ids: Collection[str], now: datetime
    ) -> set[str]:
        """Which of `session_ids`, of these users, are live: a fallback for nodes that do not receive the bus."""
        which = {"_id": {"$in": list(session_ids)}, "userId": {"$in": list(user_ids)}}
        cursor = self._sessions.find({**which, **live_at(now)}, {"_id": 1})
        return {document["_id"] for document in await cursor.to_list(len(session_ids) or 1)}

    @outage_is_unavailable
    async def sightings(self, session: Session) -> list[Sighting]:
        """Devices and locations of the user's other stored sessions, live or not, last seen first.

        Only the 200 latest logins are read, by an index.
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
        """End a live session of `user_id`; return the ended session, or None if there is no such live session.

        One conditional update: of concurrent callers the first ends the session.
        """
        document = await self._sessions.find_one_and_update(
            {"_id": session_id, "userId": user_id, **live_at(now)},
            {
                "$set": self._revocation(user_id, reason, by, ip, now),
                "$addToSet": {"unpublished": "ended"},
                "$unset": FREE_PLACE,
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
        """End all live sessions of the user except `keep`, or only those begun by `begun_by`; return those
        ended.

        Each is ended by its own conditional update. `revocation_id` must be unique to the call; it
        distinguishes its sessions from those that a concurrent call ended.
        """
        which: dict[str, Any] = {"userId": user_id, "_id": {"$ne": keep}, "revokedAt": None}
        if begun_by is not None:
            which["loggedInAt"] = {"$lte": begun_by}
        await self._sessions.update_many(
            which | {"expiresAt": {"$gt": now}},
            {
                "$set": self._revocation(user_id, reason, by, ip, now) | {"revocationId": revocation_id},
                "$addToSet": {"unpublished": "ended"},
                "$unset": FREE_PLACE,
            },
        )
        cursor = self._sessions.find({"userId": user_id, "revocationId": revocation_id})
        return [session_of(document) async for document in cursor]

    async def users_with_live(self, *, begun_by: datetime, now: datetime) -> AsyncIterator[str]:
        """The ids of all users with a live session that was started by `begun_by`. Raises `Unavailable`."""
        last = ""
        while (user_id := await self._next_with_live(last, begun_by, now)) is not None:
            yield user_id
            last = user_id

    @outage_is_unavailable
    async def _next_with_live(self, after: str, begun_by: datetime, now: datetime) -> str | None:
        document = await self._sessions.find_one(
            {"userId": {"$gt": after}, "loggedInAt": {"$lte": begun_by}, **live_at(now)},
            {"userId": 1},
            sort=[("userId", 1)],
        )
        return str(document["userId"]) if document else None

    @outage_is_unavailable
    async def expire_one(self, *, now: datetime) -> Session | None:
        """Claim an expired session whose end has not been announced; None if there is none."""
        document = await self._sessions.find_one_and_update(
            newly_expired(now),
            {
                "$set": {"expiredAt": now, "unpublishedSince": now},
                "$addToSet": {"unpublished": "ended"},
                "$unset": FREE_PLACE,
            },
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None

    @outage_is_unavailable
    async def mark_published(self, session_id: str, news: Iterable[str], *, user_id: str) -> None:
        """Remove marks of news that has been published on the bus."""
        await self._marks.remove([(session_id, user_id, tuple(news))])

    @outage_is_unavailable
    async def mark_unpublished(
        self, session_id: str, news: Iterable[str], *, user_id: str, since: datetime
    ) -> None:
        """Mark news that could not be published; `since` is its age, by which it is claimed."""
        await self._sessions.update_one(
            found(session_id, user_id),
            {"$addToSet": {"unpublished": {"$each": list(news)}}, "$set": {"unpublishedSince": since}},
        )

    @outage_is_unavailable
    async def claim_unpublished(self, *, before: datetime, now: datetime) -> tuple[Session, frozenset[str]] | None:
        """Claim a session with unpublished news older than `before`. The news' time becomes `now`, so that no
        other node claims it until that time is older than `before`.
        """
        document = await self._sessions.find_one_and_update(
            news_before(before),
            {"$set": {"unpublishedSince": now}},
            sort=[("unpublishedSince", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return (session_of(document), frozenset(document["unpublished"])) if document else None

    @outage_is_unavailable
    async def revoked_since(self, moment: datetime) -> list[tuple[str, str, datetime]]:
        """User, id and time of each session revoked since `moment`, to restore a deny-list that lost its data."""
        cursor = self._sessions.find({"revokedAt": {"$gte": moment}}, {"revokedAt": 1, "userId": 1})
        return [(document["userId"], document["_id"], document["revokedAt"]) async for document in cursor]

    @outage_is_unavailable
    async def assure(self, session_id: str, *, user_id: str, amr: Sequence[str], now: datetime) -> Session | None:
        """Record a step-up on a live session, for all tokens issued from now on; None if the session is not
        live.
        """
        document = await self._sessions.find_one_and_update(
            {**found(session_id, user_id), **live_at(now)},
            {"$set": {"assuredAt": now}, "$addToSet": {"amr": {"$each": list(amr)}}},
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None

    def _revocation(
        self, user_id: str, reason: RevocationReason, by: Actor, ip: str | None, now: datetime
    ) -> dict[str, Any]:
        return {
            # For the fact of the end (auth/stores/change_feed.py).
            "endedOf": user_id,
            "revokedAt": now,
            "revokedReason": reason.value,
            "revokedBy": actor_document(by),
            "revokedIp": ip,
            "purgeAt": now + self._revoked_kept,
            "unpublishedSince": now,
        }
