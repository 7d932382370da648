"""The stock peer's account and session operations, used by HTTP routes and socket handlers."""

import hashlib
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from stock_common import REFRESH_LIFE, Config, Document, Refused, Tokens, iso, utc_now, view_session


class Accounts:
    """Authentication, refresh and session queries."""

    def __init__(self, config: Config, database: AsyncDatabase[Document], redis: Any) -> None:
        self._prefix = config.prefix
        self._users = database["users"]
        self._sessions = database["sessions"]
        self._redis = redis
        self._confirmed: dict[str, int] = {}
        self.tokens = Tokens(config)

    def deny_key(self, session_id: str) -> str:
        """Redis key of a revoked session."""
        return f"{self._prefix}:deny:{session_id}"

    def sockets_key(self, user_id: str) -> str:
        """Redis key of a user's sockets: a hash of socket id to session id."""
        return f"{self._prefix}:sockets:{user_id}"

    async def authenticate(self, token: object) -> dict[str, Any]:
        """Return the claims of a valid token whose session is not revoked. Raises `Refused`."""
        claims = self.tokens.verify_access(token)
        if await self._redis.exists(self.deny_key(claims["sid"])):
            raise Refused("session_revoked")
        await self.confirm(claims)
        return claims

    async def confirm(self, claims: dict[str, Any]) -> None:
        """Record the first use of a generation."""
        session_id, generation = claims["sid"], claims["gen"]
        if self._confirmed.get(session_id) == generation:
            return
        self._confirmed[session_id] = generation
        await self._sessions.update_one(
            {"_id": session_id, "generation": generation, "confirmed": False, "revokedAt": None},
            {"$set": {"confirmed": True, "lastSeenAt": utc_now()}},
        )

    async def refresh(self, refresh_token: object) -> dict[str, Any]:
        """Exchange a refresh token for the next pair. Raises `Refused`."""
        session_id, generation, nonce = self.tokens.parse_refresh(refresh_token)
        now = utc_now()
        session = await self._sessions.find_one_and_update(
            {
                "_id": session_id,
                "generation": generation,
                "nonceHash": hashlib.sha256(nonce).digest(),
                "revokedAt": None,
                "expiresAt": {"$gt": now},
            },
            {
                "$set": {
                    "generation": generation + 1,
                    "confirmed": False,
                    "rotatedAt": now,
                    "lastSeenAt": now,
                    "expiresAt": now + REFRESH_LIFE,
                }
            },
        )
        if session is None:
            raise Refused("refresh_reused")
        access_token, expires_at = self.tokens.mint_access(session | {"generation": generation + 1}, now=now)
        return {
            "accessToken": access_token,
            "accessTokenExpiresAt": iso(expires_at),
            "refreshToken": self.tokens.mint_refresh(session_id, generation + 1, nonce),
            "refreshTokenExpiresAt": iso(now + REFRESH_LIFE),
            "outcome": "rotated",
        }

    async def user(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Return the account of a token."""
        user = await self._users.find_one({"_id": claims["sub"]})
        if user is None:
            raise Refused("invalid_token")
        return {
            "userId": user["_id"],
            "email": user["email"],
            "emailVerified": user["emailVerifiedAt"] is not None,
            "name": user["name"],
            "username": None,
            "roles": user["roles"],
            "createdAt": iso(user["createdAt"]),
        }

    async def sessions(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Return the user's live sessions with their online state."""
        online = await self._redis.hvals(self.sockets_key(claims["sub"]))
        cursor = self._sessions.find({"userId": claims["sub"], "revokedAt": None, "expiresAt": {"$gt": utc_now()}})
        found = await cursor.sort("lastSeenAt", -1).to_list(200)
        views = [view_session(session, current=claims["sid"], online=online) for session in found]
        return {"sessions": views, "count": len(views), "version": 0}
