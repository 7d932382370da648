"""Prints a new access token for each session id on stdin, all issued in the same second."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from stock_common import Config, Tokens, utc_now


async def mint(session_ids: Sequence[str], seconds: int | None) -> None:
    """Mint and print the tokens in the given order."""
    config = Config.read()
    database, tokens = config.open_database(), Tokens(config)
    cursor = database["sessions"].find({"_id": {"$in": list(set(session_ids))}})
    sessions = {session["_id"]: session async for session in cursor}
    await database.client.close()
    now = utc_now()
    for session_id in session_ids:
        token, _ = tokens.mint_access(sessions[session_id], now=now, seconds=seconds)
        sys.stdout.write(json.dumps({"sessionId": session_id, "accessToken": token}) + "\n")


def main() -> None:
    """Read the command line and stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, help="lifetime (default: the server's)")
    arguments = parser.parse_args()
    asyncio.run(mint(sys.stdin.read().split(), arguments.seconds))


if __name__ == "__main__":
    main()
