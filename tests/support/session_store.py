"""Calls of the session store with default arguments, for its tests."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

from auth.core.models import Actor, RevocationReason, Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.rotations import Rotated
from auth.stores.sessions.store import SessionStore
from support.session_world import IDLE_LIFE, LAPTOP, Time

REVOKED_KEPT = timedelta(days=90)
ADA = Actor("user", "ada-session")


async def document(mongo: Mongo, session: Session) -> dict[str, Any]:
    found = await mongo.database["sessions"].find_one({"_id": session.session_id})
    assert found is not None
    return dict(found)


async def rotate(store: SessionStore, session: Session, time: Time, **changes: Any) -> Rotated | None:
    options: dict[str, Any] = {
        "nonce_hash": session.nonce_hash,
        "from_generation": session.generation,
        "client": LAPTOP,
        "location": None,
        "kind": None,
        "now": time.now,
        "idle_life": IDLE_LIFE,
    }
    return await store.rotate(session.session_id, **options | changes)


async def revoke(store: SessionStore, session: Session, time: Time, **changes: Any) -> Session | None:
    options: dict[str, Any] = {
        "user_id": session.user_id,
        "reason": RevocationReason.REVOKED,
        "by": ADA,
        "ip": "192.0.2.9",
        "now": time.now,
    }
    return await store.revoke(session.session_id, **options | changes)


async def revoke_all(store: SessionStore, user_id: str, time: Time, **changes: Any) -> list[Session]:
    options: dict[str, Any] = {
        "revocation_id": secrets.token_hex(8),
        "keep": None,
        "reason": RevocationReason.LOGOUT_ALL,
        "by": ADA,
        "ip": "192.0.2.9",
        "now": time.now,
    }
    return await store.revoke_all(user_id, **options | changes)


async def until(condition: Any, *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)
