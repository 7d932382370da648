"""Sessions: one document a login. The truth about rotation and revocation.

Each method is one atomic act on the server; none reads, decides and then writes. A write that others must
hear of leaves a mark in `unpublished` in the same update, taken off once the bus has it: a crash or an
outage in between delays the news and never loses it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from bson.binary import Binary
from pymongo import ReturnDocument

from auth.errors import Unavailable
from auth.models import Actor, Client, Device, Location, RevocationReason, Session, Sighting, TokenDelivery
from auth.stores.gathering import Gathering
from auth.stores.mongo import OUTAGES, Database, Document, outage_is_unavailable

# More than a person can have; a list longer than this is cut, a revocation never is.
MAX_LISTED = 200
# What one query for the lists of several users may bring; beyond it each is asked for by itself.
MAX_LISTED_TOGETHER = 600
# An expired session stays this long, so that its end can be told before the TTL index takes it.
EXPIRED_KEPT = timedelta(hours=1)
# Half of what connections there are (auth/stores/mongo.py): a storm of refreshes leaves room for all else.
MOST_ROTATIONS = 32
TURN_SECONDS = 30.0
# While MongoDB is down, whoever waits in that line is told so at once.
DOWN_SECONDS = 1.0

# An id and the time at which something is asked about it.
IdThen = tuple[str, datetime]


class Sessions:
    """The collection `sessions`. `revoked_kept` is how long a revoked session stays as audit trail."""

    def __init__(self, database: Database, *, revoked_kept: timedelta) -> None:
        self._sessions = database["sessions"]
        self._revoked_kept = revoked_kept
        self._live = Gathering(self._live_of_each)
        self._confirmed = Gathering(self._confirm_each)
        self._touched = Gathering(self._touch_each)
        self._published = Gathering(self._mark_each_published)
        self._rotating = asyncio.Semaphore(MOST_ROTATIONS)
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
    async def create(self, session: Session) -> None:
        """Add a new session, marked as not yet announced."""
        await self._sessions.insert_one(
            _document(session) | {"unpublished": ["created"], "unpublishedSince": session.logged_in_at}
        )

    @outage_is_unavailable
    async def get(self, session_id: str) -> Session | None:
        """The session, live or not, while it is kept."""
        document = await self._sessions.find_one({"_id": session_id})
        return _session(document) if document else None

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
    ) -> Session | None:
        """Move a live session from `from_generation` to the next; the session as it was before, or None.

        One conditional update: of any number of callers with one generation exactly one succeeds, and a
        revoked or expired session is never written, so no refresh in flight can bring it back.
        """
        async with self._turn():
            document = await self._sessions.find_one_and_update(
                {
                    "_id": session_id,
                    "generation": from_generation,
                    "nonceHash": Binary(nonce_hash),
                    "revokedAt": None,
                    # Announced as expired by a node whose clock is ahead: an end that was told stays one.
                    "expiredAt": None,
                    "expiresAt": {"$gt": now},
                },
                [
                    {
                        "$set": {
                            "generation": from_generation + 1,
                            "confirmed": False,
                            "rotatedAt": now,
                            "lastSeenAt": now,
                            "ip": {"$literal": client.ip},
                            "location": {"$literal": _location_document(location)},
                            "expiresAt": {"$min": [now + idle_life, "$endsAt"]},
                        }
                    },
                    {"$set": {"purgeAt": {"$add": ["$expiresAt", int(EXPIRED_KEPT.total_seconds() * 1000)]}}},
                ],
                return_document=ReturnDocument.BEFORE,
            )
        return _session(document) if document else None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the places for a rotation; raises `Unavailable` when none comes free.

        When thousands of tokens end in one second, they wait here, where it costs nothing, and not for a
        connection, where all would time out together and come back together.
        """
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._rotating.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            if asyncio.get_running_loop().time() < self._down_until:
                raise Unavailable
            yield
        except OUTAGES:
            self._down_until = asyncio.get_running_loop().time() + DOWN_SECONDS
            raise
        finally:
            self._rotating.release()

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
                    by_user[document["userId"]].append(_session(document))
                return {
                    (user_id, now): [each for each in by_user[user_id] if each.expires_at > now][:MAX_LISTED]
                    for user_id, now in asked
                }
        return {(user_id, now): await self._live_of_one(user_id, now) for user_id, now in asked}

    async def _live_of_one(self, user_id: str, now: datetime) -> list[Session]:
        cursor = self._sessions.find({"userId": user_id, "revokedAt": None, "expiresAt": {"$gt": now}})
        return [_session(document) for document in await cursor.sort("lastSeenAt", -1).to_list(MAX_LISTED)]

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
            Sighting(Device(**each["device"]), _location(each["location"]), each["lastSeenAt"]) for each in found
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
            {"$set": self._revocation(reason, by, ip, now), "$addToSet": {"unpublished": "ended"}},
            return_document=ReturnDocument.AFTER,
        )
        return _session(document) if document else None

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
    ) -> list[Session]:
        """End every live session of the user but `keep`; the sessions that this call ended.

        Each is ended by its own conditional update. `revocation_id` is unique to the call and tells its
        sessions from those that another call ended at the same moment.
        """
        await self._sessions.update_many(
            {"userId": user_id, "_id": {"$ne": keep}, "revokedAt": None, "expiresAt": {"$gt": now}},
            {
                "$set": self._revocation(reason, by, ip, now) | {"revocationId": revocation_id},
                "$addToSet": {"unpublished": "ended"},
            },
        )
        cursor = self._sessions.find({"revocationId": revocation_id})
        return [_session(document) async for document in cursor]

    @outage_is_unavailable
    async def expire_one(self, *, now: datetime) -> Session | None:
        """Claim one expired session whose end nobody has told yet; None when there is none."""
        document = await self._sessions.find_one_and_update(
            {"revokedAt": None, "expiredAt": None, "expiresAt": {"$lte": now}},
            {"$set": {"expiredAt": now, "unpublishedSince": now}, "$addToSet": {"unpublished": "ended"}},
            return_document=ReturnDocument.AFTER,
        )
        return _session(document) if document else None

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
        return (_session(document), frozenset(document["unpublished"])) if document else None

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
        return _session(document) if document else None

    @outage_is_unavailable
    async def set_roles(self, user_id: str, roles: Sequence[str]) -> None:
        """Give the user's sessions other roles, for every access token minted from now on."""
        await self._sessions.update_many({"userId": user_id}, {"$set": {"roles": list(roles)}})

    def _revocation(self, reason: RevocationReason, by: Actor, ip: str | None, now: datetime) -> dict[str, Any]:
        return {
            "revokedAt": now,
            "revokedReason": reason.value,
            "revokedBy": {"kind": by.kind, "sessionId": by.session_id},
            "revokedIp": ip,
            "purgeAt": now + self._revoked_kept,
            "unpublishedSince": now,
        }


def _location_document(location: Location | None) -> Document | None:
    if location is None:
        return None
    document: Document = {"city": location.city, "country": location.country}
    if location.latitude is not None:
        document |= {"latitude": location.latitude, "longitude": location.longitude}
    return document


def _location(document: Document | None) -> Location | None:
    return Location(**document) if document else None


def _document(session: Session) -> Document:
    device = session.device
    return {
        "_id": session.session_id,
        "userId": session.user_id,
        "nonceHash": Binary(session.nonce_hash),
        "generation": session.generation,
        "confirmed": session.confirmed,
        "delivery": session.delivery.value,
        "roles": list(session.roles),
        "amr": list(session.amr),
        "device": {"name": device.name, "browser": device.browser, "os": device.os, "kind": device.kind},
        "userAgent": session.user_agent,
        "ip": session.ip,
        "location": _location_document(session.location),
        "loggedInAt": session.logged_in_at,
        "lastSeenAt": session.last_seen_at,
        "rotatedAt": session.rotated_at,
        "expiresAt": session.expires_at,
        "endsAt": session.ends_at,
        "purgeAt": session.expires_at + EXPIRED_KEPT,
        "revokedAt": None,
        "expiredAt": None,
    }


def _session(document: Mapping[str, Any]) -> Session:
    by = document.get("revokedBy")
    reason = document.get("revokedReason")
    return Session(
        session_id=document["_id"],
        user_id=document["userId"],
        nonce_hash=bytes(document["nonceHash"]),
        generation=document["generation"],
        confirmed=document["confirmed"],
        delivery=TokenDelivery(document["delivery"]),
        roles=tuple(document["roles"]),
        amr=tuple(document["amr"]),
        device=Device(**document["device"]),
        user_agent=document["userAgent"],
        ip=document["ip"],
        location=_location(document["location"]),
        logged_in_at=document["loggedInAt"],
        last_seen_at=document["lastSeenAt"],
        rotated_at=document["rotatedAt"],
        expires_at=document["expiresAt"],
        ends_at=document["endsAt"],
        revoked_at=document["revokedAt"],
        revoked_reason=RevocationReason(reason) if reason else None,
        revoked_by=Actor(by["kind"], by["sessionId"]) if by else None,
        assured_at=document.get("assuredAt"),
    )
