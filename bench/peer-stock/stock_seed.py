"""Writes users and sessions for the stock peer; prints one JSON line per session."""

import argparse
import asyncio
import json
import secrets
import sys
from typing import Any

from stock_common import Config, Document, Tokens, new_session, utc_now

USER_AGENT = "vigil-bench"
BATCH = 500


async def seed(users: int, sessions: int) -> None:
    """Write and print all users and sessions. The stock peer has no login, so users have no password."""
    config = Config.read()
    database, tokens, now = config.open_database(), Tokens(config), utc_now()
    user_documents: list[Document] = []
    session_documents: list[Document] = []
    lines: list[dict[str, Any]] = []
    for number in range(users):
        user_id, email = secrets.token_hex(16), f"bench-{number}@example.org"
        user_documents.append(
            {
                "_id": user_id,
                "email": email,
                "emailVerifiedAt": now,
                "name": f"Bench {number}",
                "roles": [],
                "createdAt": now,
            }
        )
        for _ in range(sessions):
            nonce = secrets.token_bytes(16)
            session = new_session(user_id, nonce, USER_AGENT, now=now)
            session_documents.append(session)
            lines.append(
                {
                    "userId": user_id,
                    "email": email,
                    "sessionId": session["_id"],
                    "accessToken": tokens.mint_access(session, now=now)[0],
                    "refreshToken": tokens.mint_refresh(session["_id"], 0, nonce),
                }
            )
    for collection, documents in (("users", user_documents), ("sessions", session_documents)):
        for start in range(0, len(documents), BATCH):
            await database[collection].insert_many(documents[start : start + BATCH])
    await database.client.close()
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--sessions-per-user", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(seed(arguments.users, arguments.sessions_per_user))


if __name__ == "__main__":
    main()
