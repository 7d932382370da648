"""How a session is kept: its document, there and back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bson.binary import Binary

from auth.models import Actor, Device, Location, RevocationReason, Session, TokenDelivery
from auth.stores.mongo import Document

# An expired session stays this long, so that its end can be told before the TTL index takes it.
EXPIRED_KEPT = timedelta(hours=1)


def location_document(location: Location | None) -> Document | None:
    """A place as it is kept."""
    if location is None:
        return None
    document: Document = {"city": location.city, "country": location.country}
    if location.latitude is not None:
        document |= {"latitude": location.latitude, "longitude": location.longitude}
    return document


def location_of(document: Mapping[str, Any] | None) -> Location | None:
    """A place off its document."""
    return Location(**document) if document else None


def document_of(session: Session) -> Document:
    """A new session as it is kept."""
    device = session.device
    return {
        "_id": session.session_id,
        "userId": session.user_id,
        "nonceHash": Binary(session.nonce_hash),
        "generation": session.generation,
        "confirmed": session.confirmed,
        "delivery": session.delivery.value,
        "roles": list(session.roles),
        "rolesVersion": session.roles_version,
        "amr": list(session.amr),
        "device": {"name": device.name, "browser": device.browser, "os": device.os, "kind": device.kind},
        "userAgent": session.user_agent,
        "ip": session.ip,
        "location": location_document(session.location),
        "loggedInAt": session.logged_in_at,
        "lastSeenAt": session.last_seen_at,
        "rotatedAt": session.rotated_at,
        "expiresAt": session.expires_at,
        "endsAt": session.ends_at,
        "purgeAt": session.expires_at + EXPIRED_KEPT,
        "revokedAt": None,
        "expiredAt": None,
    }


def session_of(document: Mapping[str, Any]) -> Session:
    """A session off its document."""
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
        location=location_of(document["location"]),
        logged_in_at=document["loggedInAt"],
        last_seen_at=document["lastSeenAt"],
        rotated_at=document["rotatedAt"],
        expires_at=document["expiresAt"],
        ends_at=document["endsAt"],
        revoked_at=document["revokedAt"],
        revoked_reason=RevocationReason(reason) if reason else None,
        revoked_by=Actor(by["kind"], by["sessionId"]) if by else None,
        assured_at=document.get("assuredAt"),
        roles_version=document.get("rolesVersion", 0),
    )
