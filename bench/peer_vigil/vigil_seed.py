"""Writes users and sessions through Vigil's stores; prints one JSON line per session."""

import argparse
import asyncio
import json
import secrets
import sys
from dataclasses import replace
from datetime import datetime, timedelta

import uvloop

from auth.clients.devices import Devices
from auth.core.clock import utc_now
from auth.core.models import Client, Session, TokenDelivery, User
from auth.crypto.passwords import Passwords
from auth.crypto.tokens import AccessTokens, RefreshToken, hash_nonce
from bench.peer_vigil.vigil_parts import Parts, open_parts
from bench.web_client import USER_AGENT

PASSWORD = "bench-password-8341"  # noqa: S105 - of test users
CLIENT = Client("127.0.0.1", USER_AGENT)
AT_ONCE = 32


class Seeder:
    """Creates users and their sessions; all users share one password hash."""

    def __init__(self, parts: Parts, password_hash: str) -> None:
        self._parts = parts
        self._access_tokens: AccessTokens = parts.access_tokens()
        self._password_hash = password_hash
        self._device = Devices().read(CLIENT)
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def user(self, number: int, sessions: int) -> list[dict[str, str]]:
        """Create one user with sessions."""
        now = utc_now()
        user = User(
            user_id=secrets.token_hex(16),
            email=f"bench-{number}@example.org",
            name=f"Bench {number}",
            username=None,
            roles=(),
            created_at=now,
            email_verified_at=now,
            password_hash=self._password_hash,
        )
        async with self._turn:
            await self._parts.stores.users.create(user)
            return [await self._session(user, now) for _ in range(sessions)]

    async def _session(self, user: User, now: datetime) -> dict[str, str]:
        token = RefreshToken(secrets.token_hex(16), 0, secrets.token_bytes(16))
        tokens = self._parts.settings.tokens
        session = Session(
            session_id=token.session_id,
            user_id=user.user_id,
            nonce_hash=hash_nonce(token.nonce),
            generation=0,
            confirmed=False,
            delivery=TokenDelivery.BODY,
            roles=user.roles,
            amr=("pwd",),
            device=replace(self._device),
            user_agent=CLIENT.user_agent,
            ip=CLIENT.ip,
            location=None,
            logged_in_at=now,
            last_seen_at=now,
            rotated_at=now,
            expires_at=now + timedelta(seconds=tokens.refresh_token_seconds),
            ends_at=now + timedelta(seconds=tokens.session_max_seconds),
        )
        await self._parts.stores.sessions.create(session)
        access_token, _ = self._access_tokens.mint(session, now=utc_now())
        return {
            "userId": user.user_id,
            "email": user.email,
            "sessionId": session.session_id,
            "accessToken": access_token,
            "refreshToken": self._parts.refresh_tokens.mint(token),
        }


async def seed(users: int, sessions: int) -> None:
    """Write and print all users and sessions."""
    passwords = Passwords()
    async with open_parts() as parts:
        seeder = Seeder(parts, await passwords.hash(PASSWORD))
        made = await asyncio.gather(*(seeder.user(number, sessions) for number in range(users)))
        # Clear the marks: otherwise the server would publish each session.
        published = {"$set": {"unpublished": []}, "$unset": {"unpublishedSince": ""}}
        await parts.stores.mongo.database["sessions"].update_many({}, published)
    passwords.close()
    sys.stdout.writelines(json.dumps(line) + "\n" for lines in made for line in lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--sessions-per-user", type=int, required=True)
    arguments = parser.parse_args()
    uvloop.run(seed(arguments.users, arguments.sessions_per_user))


if __name__ == "__main__":
    main()
