"""An authenticator app, implemented from RFC 6238 without the server's code."""

import asyncio
import base64
import hashlib
import hmac
import time

STEP = 30


def code_at(secret: str, step: int) -> str:
    """Return the code of a time step (RFC 4226, section 5.3) for a base32 secret."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**6:06}"


class Authenticator:
    """Generates codes that a server accepts in sequence, mostly without waiting for the next time step.

    A server that allows one step of drift accepts three codes in a row: the previous, the current and the next.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._next = int(time.time()) // STEP - 1

    async def code(self) -> str:
        """Return an unused code that stays valid for some seconds."""
        while True:
            now = time.time()
            # Skip a code that could expire before it is used.
            earliest = int(now) // STEP - (1 if now % STEP < STEP - 5 else 0)
            self._next = max(self._next, earliest)
            if self._next <= int(now) // STEP + 1:
                break
            await asyncio.sleep(STEP - now % STEP + 0.1)
        self._next += 1
        return code_at(self.secret, self._next - 1)
