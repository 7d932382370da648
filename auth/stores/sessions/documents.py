"""Conversion between sessions and their documents."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from auth.core.models import (
    ClientKind,
    Device,
    Location,
    RevocationReason,
    Session,
    SessionAlert,
    TokenDelivery,
)
from auth.stores.actors import actor_of
from auth.stores.mongo import Document

# How long an expired session is kept, so that its end can be announced before the TTL index removes it.
EXPIRED_KEPT = timedelta(hours=1)


def location_document(location: Location | None) -> Document | None:
    """The document of a location."""
    if location is None:
        return None
    document: Document = {"city": location.city, "country": location.country}
    if location.latitude is not None:
        document |= {"latitude": location.latitude, "longitude": location.longitude}
    return document


def location_of(document: Mapping[str, Any] | None) -> Location | None:
    """The location in a document."""
    return Location(**document) if document else None


def kind_document(kind: ClientKind | None) -> Document | None:
    """The document of a client kind."""
    return {"browser": kind.browser, "os": kind.os} if kind else None


def document_of(session: Session) -> Document:
    """The document of a new session."""
    device = session.device
    return {
        "_id": session.session_id,
        "userId": session.user_id,
        "nonceHash": session.nonce_hash,
        "generation": session.generation,
        "confirmed": session.confirmed,
        "delivery": session.delivery.value,
        "roles": list(session.roles),
        "rolesVersion": session.roles_version,
        "amr": list(session.amr),
        # Not in `device`: nodes of earlier versions accept no other fields there.
        "detectedDevice": device.detected,
        "device": {"name": device.name, "browser": device.browser, "os": device.os, "kind": device.kind},
        "userAgent": session.user_agent,
        "ip": session.ip,
        "location": location_document(session.location),
        "loggedInAt": session.logged_in_at,
        "lastSeenAt": session.last_seen_at,
        "rotatedAt": session.rotated_at,
        "rotatedBy": kind_document(session.rotated_by),
        "expiresAt": session.expires_at,
        "endsAt": session.ends_at,
        "purgeAt": session.expires_at + EXPIRED_KEPT,
        "revokedAt": None,
        "expiredAt": None,
        "approvedBy": session.approved_by,
    }


def found(session_id: str, user_id: str | None) -> Document:
    """The condition for a session. By the user's id a sharded database finds the one shard that has it."""
    return {"_id": session_id} if user_id is None else {"_id": session_id, "userId": user_id}


def news_before(moment: datetime) -> Document:
    """A filter for sessions whose news has been unpublished since before `moment`."""
    return {"unpublishedSince": {"$lt": moment}}


def newly_expired(now: datetime) -> Document:
    """A filter for sessions that have expired by `now`, which has not been recorded."""
    return {"revokedAt": None, "expiredAt": None, "expiresAt": {"$lte": now}}


def live_at(now: datetime) -> Document:
    """The condition for sessions that are neither revoked nor expired."""
    return {"revokedAt": None, "expiresAt": {"$gt": now}}


def session_of(document: Mapping[str, Any]) -> Session:
    """The session in a document."""
    by = document.get("revokedBy")
    reason = document.get("revokedReason")
    kind = document.get("rotatedBy")
    return Session(
        session_id=document["_id"],
        user_id=document["userId"],
        nonce_hash=document["nonceHash"],
        generation=document["generation"],
        confirmed=document["confirmed"],
        delivery=TokenDelivery(document["delivery"]),
        roles=tuple(document["roles"]),
        amr=tuple(document["amr"]),
        device=Device(**document["device"], detected=document.get("detectedDevice")),
        user_agent=document["userAgent"],
        ip=document["ip"],
        location=location_of(document["location"]),
        logged_in_at=document["loggedInAt"],
        last_seen_at=document["lastSeenAt"],
        rotated_at=document["rotatedAt"],
        expires_at=document["expiresAt"],
        ends_at=document["endsAt"],
        revoked_at=document["revokedAt"],
        revoked_reason=RevocationReason(reason) if reason else None,
        revoked_by=actor_of(by) if by else None,
        assured_at=document.get("assuredAt"),
        roles_version=document.get("rolesVersion", 0),
        rotated_by=ClientKind(**kind) if kind else None,
        replays=document.get("replays", 0),
        replayed_at=document.get("replayedAt"),
        approved_by=document.get("approvedBy"),
        alerts=tuple(SessionAlert(kind, at) for kind, at in document.get("alerts", {}).items()),
    )
