"""The verifier: one for a process, for any number of threads and event loops."""

import asyncio
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from vigil_verify import tokens
from vigil_verify.errors import InvalidToken, MissingToken, SessionRevoked, Unavailable
from vigil_verify.http import Http
from vigil_verify.keys import KeySet
from vigil_verify.revocations import Revocations
from vigil_verify.tokens import Claims

LEEWAY_SECONDS = 5.0
STALE_AFTER_SECONDS = 15.0
# Keys that could not be read again for this long are not trusted any more: one may have been withdrawn.
KEYS_STALE_SECONDS = 3600.0
# How long a first request waits for keys and revocations.
START_SECONDS = 5.0
REQUEST_SECONDS = 5.0
WATCH_SECONDS, KEYS_RETRY_SECONDS = 1.0, 5.0

log = logging.getLogger("vigil_verify")


@dataclass(frozen=True, slots=True)
class Health:
    """`is_current`: revoked sessions are refused within a second. For a health check of the service.

    `silent_seconds`: since the stream last proved it, infinite before the first time; None without a server key.
    """

    is_current: bool
    silent_seconds: float | None
    revoked: int
    keys: int
    last_error: str | None


class Verifier:
    """Verifies access tokens without a call for each.

    `issuer`: Vigil's public URL, as in the claim `iss`. `urls`: where its nodes are reached, if not there; the
    next one is used when one fails. `server_key`: a key with the scope `revocations`; without one, a token of an
    ended session is accepted until it expires.

    `stale_after`: seconds without a sign of life of the stream after which `when_stale` decides: `refuse` answers
    `Unavailable` (503), `accept` goes on without later revocations. Either is logged as an error, told to
    `on_health`, and shown by `health`.
    """

    def __init__(
        self,
        issuer: str,
        *,
        server_key: str | None = None,
        audience: str = "vigil",
        urls: Sequence[str] = (),
        leeway: float = LEEWAY_SECONDS,
        stale_after: float = STALE_AFTER_SECONDS,
        when_stale: Literal["refuse", "accept"] = "refuse",
        on_health: Callable[[Health], None] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if when_stale not in ("refuse", "accept"):
            raise ValueError("when_stale must be 'refuse' or 'accept'")
        self._issuer = issuer
        self._audience = audience
        self._urls = [url.rstrip("/") for url in urls or [issuer]]
        self._server_key = server_key
        self._leeway = leeway
        self._stale_after = stale_after
        self._refuses = when_stale == "refuse"
        self._on_health = on_health
        self._http = Http(ssl_context)
        self._has_warned = False
        self._lock = threading.Lock()
        self._process: int | None = None

    def start(self) -> Self:
        """Begin to follow keys and revocations. Verifying does it too, in each process that was forked."""
        with self._lock:
            if self._process == os.getpid():
                return self
            self._closing = threading.Event()
            self._started_at = time.monotonic()
            self._keys = KeySet(self._fetch_keys)
            self._revocations = None
            self._was_current: bool | None = None
            if self._server_key is not None:
                self._revocations = Revocations(self._urls, self._server_key, self._http, changed=self._report)
                self._revocations.start()
            threading.Thread(target=self._watch, args=(self._closing,), name="vigil-keys", daemon=True).start()
            self._process = os.getpid()
        return self

    def close(self) -> None:
        """Stop following."""
        with self._lock:
            if self._process == os.getpid():
                self._closing.set()
                if self._revocations is not None:
                    self._revocations.close()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def verify(self, token: str) -> Claims:
        """Return the claims of an access token.

        Waits only for the first keys and revocations after the start, and for a key that is new, at most 5 s each.

        Raises `InvalidToken`, `TokenExpired`, `SessionRevoked` or `Unavailable`.
        """
        self.start()
        header = tokens.header_in(token)
        asked_at = time.monotonic()
        if self._keys.may_be_read or self._keys.may_find(header):
            self._keys.read(asked_at=asked_at)
        if self._revocations is not None and self._waits_for_revocations:
            self._revocations.caught_up.wait(self._started_at + START_SECONDS - time.monotonic())
        return self._verify(token)

    async def verify_async(self, token: str) -> Claims:
        """Like `verify`; what has to be waited for is waited for in a thread."""
        self.start()
        header = tokens.header_in(token)
        if self._keys.may_be_read or self._keys.may_find(header) or self._waits_for_revocations:
            return await asyncio.to_thread(self.verify, token)
        return self._verify(token)

    def verify_header(self, authorization: str | None) -> Claims:
        """Like `verify`, for an `Authorization` header. Raises `MissingToken`, too."""
        return self.verify(bearer_token(authorization))

    async def verify_header_async(self, authorization: str | None) -> Claims:
        """Like `verify_header`, for event loops."""
        return await self.verify_async(bearer_token(authorization))

    @property
    def health(self) -> Health:
        """How current this verifier is."""
        self.start()
        revocations = self._revocations
        silent = None if revocations is None else time.monotonic() - revocations.proved_at
        return Health(
            is_current=(silent is None or silent < self._stale_after) and not self._keys_are_stale,
            silent_seconds=silent,
            revoked=0 if revocations is None else len(revocations),
            keys=len(self._keys.by_header),
            last_error=None if revocations is None else revocations.last_error,
        )

    @property
    def _waits_for_revocations(self) -> bool:
        if self._revocations is None or not self._refuses or self._revocations.caught_up.is_set():
            return False
        return time.monotonic() - self._started_at < START_SECONDS

    @property
    def _keys_are_stale(self) -> bool:
        return time.monotonic() - self._keys.read_at > KEYS_STALE_SECONDS

    def _verify(self, token: str) -> Claims:
        keys = self._keys.by_header
        if not keys:
            raise Unavailable
        try:
            claims = tokens.verify(
                token, keys, issuer=self._issuer, audience=self._audience, now=time.time(), leeway=self._leeway
            )
        except InvalidToken as error:
            # Probably the settings of this verifier: it then refuses every token, and responses do not say why.
            if isinstance(error.__cause__, ValueError) and not self._has_warned:
                self._has_warned = True
                log.warning("%s", error.__cause__)
            raise
        if self._revocations is not None and claims.session_id in self._revocations:
            raise SessionRevoked
        is_current = self.health.is_current
        if is_current is not self._was_current:
            self._report()
        if self._refuses and not is_current:
            raise Unavailable
        return claims

    def _fetch_keys(self) -> Any:
        for url in self._urls[:-1]:
            try:
                return self._http.json(f"{url}/.well-known/jwks.json", timeout=REQUEST_SECONDS)
            except (OSError, ValueError):
                continue
        return self._http.json(f"{self._urls[-1]}/.well-known/jwks.json", timeout=REQUEST_SECONDS)

    def _watch(self, closing: threading.Event) -> None:
        """Read the keys again in time, and notice when the stream has been silent for too long."""
        while not closing.is_set():
            try:
                if not self._keys.are_fresh:
                    self._keys.read(asked_at=time.monotonic())
                self._report()
            except Exception:  # the thread must go on
                log.exception("vigil_verify failed")
            closing.wait(WATCH_SECONDS if self._keys.are_fresh else KEYS_RETRY_SECONDS)

    def _report(self) -> None:
        """Tell if the verifier has become current, or has ceased to be."""
        if self._closing.is_set():
            return
        health = self.health
        with self._lock:
            if health.is_current is self._was_current:
                return
            first, self._was_current = self._was_current is None, health.is_current
        if health.is_current:
            log.info("vigil_verify is current: %d revoked sessions, %d keys", health.revoked, health.keys)
        elif not first or self._revocations is None:
            log.error(
                "vigil_verify is not current: %s. %s",
                health.last_error or "no sign of life",
                "Tokens are refused." if self._refuses else "Sessions that were revoked since are ACCEPTED.",
            )
        if self._on_health is not None:
            try:
                self._on_health(health)
            except Exception:  # the service's own code must not end the threads that follow Vigil
                log.exception("on_health failed")


def bearer_token(authorization: str | None) -> str:
    """The token in an `Authorization` header. Raises `MissingToken` or `InvalidToken`."""
    if not authorization:
        raise MissingToken
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise MissingToken
    if not token:
        raise InvalidToken
    return token
