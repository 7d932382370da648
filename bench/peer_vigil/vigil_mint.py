"""Prints a new access token for each session id on stdin, all issued in the same second."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

import uvloop

from auth.core.clock import utc_now
from auth.core.models import Session
from bench.peer_vigil.vigil_parts import open_parts

AT_ONCE = 32


async def mint(session_ids: Sequence[str], seconds: int | None) -> None:
    """Mint and print the tokens in the given order."""
    async with open_parts() as parts:
        turn = asyncio.Semaphore(AT_ONCE)

        async def read(session_id: str) -> Session | None:
            async with turn:
                return await parts.stores.sessions.get(session_id)

        sessions = await asyncio.gather(*map(read, session_ids))
        access_tokens, now = parts.access_tokens(seconds=seconds), utc_now()
        for session in sessions:
            assert session is not None, "no such session"
            token, _ = access_tokens.mint(session, now=now)
            sys.stdout.write(json.dumps({"sessionId": session.session_id, "accessToken": token}) + "\n")


def main() -> None:
    """Read the command line and stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, help="lifetime (default: the server's)")
    arguments = parser.parse_args()
    uvloop.run(mint(sys.stdin.read().split(), arguments.seconds))


if __name__ == "__main__":
    main()
