"""Passwords: Argon2id hashing in a bounded thread pool, and the policy for new passwords.

Policy (NIST SP 800-63B-4, section 3.1.1.2; OWASP ASVS 5.0, V6.2): 8 to 128 characters of any kind, no
composition rules, no truncation. Common passwords and passwords built from the user's name or address are
rejected with the reason, and so is the current password. Passwords are hashed in Unicode NFC, as RFC 8265 and
NIST recommend, so that the same input on another device gives the same password; nothing else is changed.

The pool is shared fairly between client networks (a /48 of IPv6, a /24 of IPv4): they are served in turn, and
when the queue is full, the network with the most jobs is refused. A flood from one network therefore delays any
other by at most one hash per waiting network.
"""

import asyncio
import base64
import functools
import ipaddress
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from auth.core.errors import FieldError, InvalidRequest, RateLimited, Unavailable
from auth.core.fair_queue import FairQueue
from auth.crypto.foreign_hashes import ForeignHash, UnusableHash, read_foreign_hash
from auth.crypto.sodium_hasher import SodiumHasher

R = TypeVar("R")

# NIST SP 800-63B, 5.1.1.2: at least 8 characters, and long passwords allowed; the upper bound is ours.
MIN_CHARACTERS = 8
MAX_CHARACTERS = 128
# With more queued hashes per thread, results would come after the client's timeout.
WAITING_PER_WORKER = 32
# Retry-After for a refused network, in seconds: the time for 32 hashes of some 50 ms.
BUSY_SECONDS = 2.0
# Prefix length of a network in the queue: the largest assignment to one customer (RFC 6177), and in IPv4 a
# typical rented block.
SHARES = {4: 24, 6: 48}
# zxcvbn raises above 72 characters, and its time grows steeply: an adversarial input of 72 characters takes 1 s,
# one of 24 some 20 ms. No common password is longer.
ESTIMATED_CHARACTERS = 24
# Under a million guesses: "very guessable: protection from throttled online attacks" and less (zxcvbn).
REFUSED_GUESSES = 1_000_000
MAX_CONTEXT_WORDS = 12
# More than any hash of another system costs (foreign_hashes.py).
MAX_WAIT_SECONDS = 2.0
# Of each lane (RFC 9106, section 3.1).
LEAST_MEMORY_KIB = 8
SERVICE_WORDS = ("vigil",)
EASY_WARNING = "This password is easy to guess. Add another word or two."
COMMON_WARNING = "Many people use this password, so it is tried first. Choose another."
UNCHANGED = "Choose a password other than the current one."
# User-friendly versions of zxcvbn's warnings; those not listed are shown as they are.
USER_WARNINGS = {
    "": EASY_WARNING,
    "This is a top-10 common password.": COMMON_WARNING,
    "This is a top-100 common password.": COMMON_WARNING,
    "This is a very common password.": COMMON_WARNING,
    "This is similar to a commonly used password.": "This is too similar to a commonly used password.",
}


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password matches, and whether its hash should be recomputed with the current parameters.

    `wait_seconds`: how long a refusal waits, so that it takes as long as the slowest imported hash.
    """

    matches: bool
    needs_rehash: bool = False
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A job for the pool: its network, the work, and the future of its result."""

    owner: str
    work: Callable[[], Any]
    result: "Future[Any]"


class Passwords:
    """Hashes, verifies and rates passwords, with at most `workers` running jobs and `waiting` queued ones.

    This bounds memory (64 MiB a hash) and the queue. During a flood, the network causing it gets `RateLimited`;
    others get `Unavailable` only when every place in the queue belongs to a different network. Cancelling a
    caller removes its job from the queue. `ip` determines the network; callers without an address share one.
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
        self._hasher = hasher or SodiumHasher()
        self._decoy_hash = _decoy(self._hasher)
        self._queue: FairQueue[_Job] = FairQueue()
        self._running = 0
        # The longest that an imported hash has taken on this node.
        self._slowest_seconds = 0.0
        # The number of submitted `_serve` calls that have not taken a job yet.
        self._scheduled = 0
        self._lock = threading.Lock()
        # zxcvbn stores the context words in a global.
        self._zxcvbn_lock = threading.Lock()

    async def hash(self, password: str, *, ip: str = "") -> str:
        """The hash of `password` in PHC format. Raises `RateLimited` or `Unavailable` when the queue is full."""
        return await self._run(ip, lambda: self._hasher.hash(_encode(password)))

    async def verify(self, *, password: str, password_hash: str | None, ip: str = "") -> Verification:
        """Whether `password` matches the hash. Raises `RateLimited` or `Unavailable` when the queue is full.

        Without a hash (unknown account), a decoy of the same cost is verified, so that response times do not
        reveal whether an account exists. For a cheaper hash (imported), a decoy makes up the difference. For one
        that takes longer than ours, `wait_seconds` of all others does, on this node, from the first one on.
        """
        return await self._run(ip, lambda: self._timed(password, password_hash))

    async def check(
        self,
        password: str,
        *,
        context: Sequence[str | None] = (),
        current_hash: str | None = None,
        ip: str = "",
    ) -> None:
        """Raise `InvalidRequest` with the reason if `password` is not acceptable as a new password.

        `context` is what an attacker would try first: the user's address and names. `current_hash` is the hash of
        the password that is to be replaced: the new one must differ from it.
        """
        characters = len(_normalised(password))
        if characters < MIN_CHARACTERS:
            raise _password_error(f"Use at least {MIN_CHARACTERS} characters.")
        if max(characters, len(password)) > MAX_CHARACTERS:
            raise _password_error(f"Use at most {MAX_CHARACTERS} characters.")
        if any(unicodedata.category(character) == "Cs" for character in password):
            raise _password_error("This password contains an invalid character. Enter it again.")
        words = context_words(context)
        weakness = await self._run(ip, lambda: self._weakness(password, words))
        if weakness is not None:
            raise _password_error(weakness)
        if current_hash is None:
            return
        if (await self.verify(password=password, password_hash=current_hash, ip=ip)).matches:
            raise _password_error(UNCHANGED)

    def close(self) -> None:
        """Stop the threads and cancel queued jobs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._scheduled = 0
            dropped = [job for _ in range(len(self._queue)) if (job := self._queue.take()) is not None]
        for job in dropped:
            job.result.cancel()

    async def _run(self, ip: str, work: Callable[[], R]) -> R:
        job = _Job(share_of(ip), work, Future())
        job.result.add_done_callback(lambda _: self._dequeue(job))
        with self._lock:
            evicted = self._make_room(job.owner)
            self._queue.add(job.owner, job)
            # A job that was evicted leaves a submitted `_serve` call, which can take this job.
            schedules = self._scheduled < len(self._queue)
            self._scheduled += schedules
        if evicted is not None:
            evicted.result.set_exception(_queue_full())
        if schedules:
            try:
                self._pool.submit(self._serve)
            except RuntimeError:
                job.result.cancel()
                raise Unavailable from None
        return await asyncio.wrap_future(job.result)

    def _make_room(self, owner: str) -> _Job | None:
        """Evict and return a queued job to make room for one of `owner`; None if there is room already.

        Raises `RateLimited` if no other network has more jobs queued, or `Unavailable` if every network has
        only one.
        """
        if self._running + len(self._queue) < self._limit:
            return None
        own, longest = self._queue.waiting_for(owner), self._queue.longest
        if own + 1 < longest:
            return self._queue.take_from_longest()
        raise _queue_full() if own else Unavailable()

    def _serve(self) -> None:
        """Run the next job, in a thread of the pool."""
        with self._lock:
            self._scheduled -= 1
            job = self._queue.take()
            if job is None:
                return  # its caller was cancelled
            self._running += 1
        try:
            if job.result.set_running_or_notify_cancel():
                _run_job(job)
        finally:
            with self._lock:
                self._running -= 1

    def _dequeue(self, job: _Job) -> None:
        with self._lock:
            self._queue.remove(job.owner, job)

    def _timed(self, password: str, password_hash: str | None) -> Verification:
        # Not the CPU time of this thread: several lanes have threads of their own.
        began = time.perf_counter()
        verification = self._verify(password, password_hash)
        seconds = time.perf_counter() - began
        if password_hash is not None and self._is_imported(password_hash):
            self._slowest_seconds = max(self._slowest_seconds, min(seconds, MAX_WAIT_SECONDS))
        return replace(verification, wait_seconds=max(self._slowest_seconds - seconds, 0.0))

    def _is_imported(self, password_hash: str) -> bool:
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return _foreign(password_hash) is not None

    def _verify(self, password: str, password_hash: str | None) -> Verification:
        encoded = _encode(password)
        if password_hash is None:
            self._matches(self._decoy_hash, encoded)
            return Verification(False)
        foreign = _foreign(password_hash)
        if foreign is not None:
            return self._verify_foreign(foreign, password, encoded)
        matches = self._matches(password_hash, encoded)
        self._make_up_for(password_hash, encoded)
        if not matches:
            return Verification(False)
        return Verification(True, self._hasher.check_needs_rehash(password_hash))

    def _verify_foreign(self, foreign: ForeignHash, password: str, encoded: bytes) -> Verification:
        """Verify a hash of another system, and do the work by which it is cheaper than ours, by CPU time."""
        ours = self._own_seconds
        began = time.thread_time()
        matches = foreign.matches(password)
        rest = int(self._hasher.memory_cost * (1 - (time.thread_time() - began) / ours))
        if rest >= LEAST_MEMORY_KIB * self._hasher.parallelism:
            self._matches(_decoy(self._hasher, memory_kib=rest), encoded)
        return Verification(matches, needs_rehash=matches)

    @functools.cached_property
    def _own_seconds(self) -> float:
        """The CPU time of one of our hashes, measured when the first foreign hash is verified."""
        began = time.thread_time()
        self._matches(self._decoy_hash, b"")
        return max(time.thread_time() - began, 1e-6)

    def _matches(self, password_hash: str, encoded: bytes) -> bool:
        """Whether the hash matches. A damaged one, which is refused at once, costs as much as no account."""
        try:
            return self._hasher.verify(password_hash, encoded)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError):
            if password_hash != self._decoy_hash:
                self._matches(self._decoy_hash, encoded)
            return False

    def _make_up_for(self, password_hash: str, encoded: bytes) -> None:
        """Do the work by which a hash is cheaper than ours."""
        try:
            found = extract_parameters(password_hash)
        except InvalidHashError:
            return
        ours = self._hasher
        rest = ours.memory_cost - found.memory_cost * found.time_cost // ours.time_cost
        if rest >= LEAST_MEMORY_KIB * ours.parallelism:
            self._matches(_decoy(ours, memory_kib=rest), encoded)

    def _weakness(self, password: str, words: Sequence[str]) -> str | None:
        """Why the password is too easy to guess, or None. A long password is rejected only if both its ends are
        weak.
        """
        # Imported here, in a pool thread, because its word lists are slow to load.
        from zxcvbn import zxcvbn

        ends = {password[:ESTIMATED_CHARACTERS], password[-ESTIMATED_CHARACTERS:]}
        reason = None
        for end in sorted(ends):
            with self._zxcvbn_lock:
                estimate = zxcvbn(end, user_inputs=list(words))
            if estimate["guesses"] >= REFUSED_GUESSES:
                return None
            reason = _reason(estimate)
        return reason


@functools.lru_cache(maxsize=4096)
def share_of(ip: str) -> str:
    """The network by which an address shares the pool; text that is not an address is returned as it is."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    address = getattr(address, "ipv4_mapped", None) or address
    host = ipaddress.ip_network((int(address), address.max_prefixlen))
    return str(host.supernet(new_prefix=SHARES[address.version]))


def context_words(context: Sequence[str | None]) -> list[str]:
    """The words in addresses and names that make a password easy to guess, at most `MAX_CONTEXT_WORDS`."""
    words = list(SERVICE_WORDS)
    for text in context:
        whole = (text or "").casefold()[:64]
        parts = "".join(character if character.isalnum() else " " for character in whole).split()
        words += [word for word in (whole, *parts) if len(word) > 2]
    return list(dict.fromkeys(words))[:MAX_CONTEXT_WORDS]


def _reason(estimate: Mapping[str, Any]) -> str:
    """The message for a password that zxcvbn rates as easy to guess."""
    if any(match.get("dictionary_name") == "user_inputs" for match in estimate["sequence"]):
        return "Do not build your password from your name, your address or the name of this service."
    warning: str = estimate["feedback"]["warning"]
    return USER_WARNINGS.get(warning, warning)


def _foreign(password_hash: str) -> ForeignHash | None:
    try:
        return read_foreign_hash(password_hash)
    except UnusableHash:
        return None


def _decoy(hasher: PasswordHasher, *, memory_kib: int | None = None) -> str:
    """A random hash that matches no password and costs `hasher` as much to verify as a real one of this memory."""
    parts = (
        base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={memory_kib or hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return "$".join(("", "argon2id", f"v={ARGON2_VERSION}", costs, *parts))


def _normalised(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _encode(password: str) -> bytes:
    # A lone surrogate is rejected in new passwords; here it must not raise.
    return _normalised(password).encode("utf-8", "surrogatepass")


def _run_job(job: _Job) -> None:
    try:
        result = job.work()
    except Exception as error:  # noqa: BLE001 - passed on to the caller
        job.result.set_exception(error)
    else:
        job.result.set_result(result)


def _queue_full() -> RateLimited:
    return RateLimited(retry_after_seconds=BUSY_SECONDS)


def _password_error(reason: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("password", reason)])
