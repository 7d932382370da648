"""An authenticator app, as a phone runs it: by RFC 6238 alone, and none of the server's code."""

import asyncio
import base64
import hashlib
import hmac
import time

STEP = 30


def code_at(secret: str, step: int) -> str:
    """The code of a time step: RFC 4226, section 5.3, on the secret in base32."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**6:06}"


class Authenticator:
    """Gives codes that a server takes one after the other, without waiting for the clock between them.

    A server that allows for a step of drift takes three in a row at any moment: the last, this one, the next.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._next = int(time.time()) // STEP - 1

    async def code(self) -> str:
        """A code that was not given yet, and that is good for some seconds."""
        while True:
            now = time.time()
            # Not one that goes out of date on its way.
            earliest = int(now) // STEP - (1 if now % STEP < STEP - 5 else 0)
            self._next = max(self._next, earliest)
            if self._next <= int(now) // STEP + 1:
                break
            await asyncio.sleep(STEP - now % STEP + 0.1)
        self._next += 1
        return code_at(self.secret, self._next - 1)
