"""Passwords: Argon2id off the event loop in a bounded pool, and the policy for new ones.

Policy (NIST SP 800-63B-4, section 3.1.1.2; OWASP ASVS 5.0, V6.2): 8 to 128 characters, any of them, no rules
of composition, nothing truncated; what everybody uses, and what is built from the user's own name or
address, is refused with the reason. A password is hashed in Unicode's form NFC, as both RFC 8265 and NIST
advise, so that the same keys pressed on another device give the same password; nothing else is altered.
"""

import asyncio
import os
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from zxcvbn import zxcvbn

from auth.errors import FieldError, InvalidRequest, Unavailable

R = TypeVar("R")

MIN_CHARACTERS = 8
MAX_CHARACTERS = 128
# Beyond this many waiting hashes per thread the answer would come after the client has gone.
WAITING_PER_WORKER = 32
# zxcvbn raises above 72 characters and its search grows steeply: 72 hostile ones cost it a second, 24 some
# 20 ms. No common password is longer.
ESTIMATED_CHARACTERS = 24
# Under a million guesses: "very guessable: protection from throttled online attacks" and less (zxcvbn).
REFUSED_GUESSES = 1_000_000
MAX_CONTEXT_WORDS = 12
SERVICE_WORDS = ("vigil",)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password was right, and whether its hash was made with parameters other than today's."""

    matches: bool
    needs_rehash: bool = False


class Passwords:
    """Hashes, verifies and judges passwords, at most `workers` at a time and `waiting` behind them.

    A flood of logins is answered with `Unavailable` beyond that, so that neither memory (64 MiB a hash) nor
    the queue grows without limit. Cancelling a caller takes its place out of the queue.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        waiting: int | None = None,
        hasher: PasswordHasher | None = None,
    ) -> None:
        workers = workers or os.cpu_count() or 1
        self._limit = workers + (WAITING_PER_WORKER * workers if waiting is None else waiting)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._decoy_hash = self._hasher.hash(os.urandom(16))
        self._inside = 0
        self._counting = threading.Lock()
        # zxcvbn keeps the context words of a call in a global.
        self._estimating = threading.Lock()

    async def hash(self, password: str) -> str:
        """The hash of `password` in PHC format. Raises `Unavailable` when too many are waiting."""
        return await self._run(lambda: self._hasher.hash(_octets(password)))

    async def verify(self, *, password: str, password_hash: str | None) -> Verification:
        """Whether `password` is the one hashed. Raises `Unavailable` when too many are waiting.

        Without a hash, as for an unknown account, a decoy of the same cost is tried, so that the time an
        answer takes does not say whether the account exists.
        """
        return await self._run(lambda: self._verify(password, password_hash))

    async def check(self, password: str, *, context: Sequence[str | None] = ()) -> None:
        """Raise `InvalidRequest` with the reason unless `password` is good enough for a new one.

        `context` is what an attacker would try first: the user's address and names.
        """
        characters = len(_normalised(password))
        if characters < MIN_CHARACTERS:
            raise _refused(f"Use at least {MIN_CHARACTERS} characters.")
        if max(characters, len(password)) > MAX_CHARACTERS:
            raise _refused(f"Use at most {MAX_CHARACTERS} characters.")
        if any(unicodedata.category(character) == "Cs" for character in password):
            raise _refused("This is not valid Unicode text.")
        words = context_words(context)
        weakness = await self._run(lambda: self._weakness(password, words))
        if weakness is not None:
            raise _refused(weakness)

    def close(self) -> None:
        """Stop the threads; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], R]) -> R:
        with self._counting:
            if self._inside >= self._limit:
                raise Unavailable
            self._inside += 1
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._leave()
            raise Unavailable from None
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: "Future[R] | None" = None) -> None:
        with self._counting:
            self._inside -= 1

    def _verify(self, password: str, password_hash: str | None) -> Verification:
        try:
            self._hasher.verify(password_hash or self._decoy_hash, _octets(password))
        except (VerificationError, InvalidHashError):
            return Verification(False)
        if password_hash is None:
            return Verification(False)
        return Verification(True, self._hasher.check_needs_rehash(password_hash))

    def _weakness(self, password: str, words: Sequence[str]) -> str | None:
        """Why the password is too easy to guess, or None. A long one is weak when both its ends are."""
        ends = {password[:ESTIMATED_CHARACTERS], password[-ESTIMATED_CHARACTERS:]}
        reason = None
        for end in sorted(ends):
            with self._estimating:
                estimate = zxcvbn(end, user_inputs=list(words))
            if estimate["guesses"] >= REFUSED_GUESSES:
                return None
            reason = estimate["feedback"]["warning"] or "This password is easy to guess."
        return reason


def context_words(context: Sequence[str | None]) -> list[str]:
    """The words of addresses and names that make a password easy to guess; a bounded number."""
    words = list(SERVICE_WORDS)
    for text in context:
        whole = (text or "").casefold()[:64]
        parts = "".join(character if character.isalnum() else " " for character in whole).split()
        words += [word for word in (whole, *parts) if len(word) > 2]
    return list(dict.fromkeys(words))[:MAX_CONTEXT_WORDS]


def _normalised(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _octets(password: str) -> bytes:
    # A lone surrogate is no text and is refused for a new password; here it must not raise.
    return _normalised(password).encode("utf-8", "surrogatepass")


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("password", reason)])
