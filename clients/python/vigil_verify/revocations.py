"""The revoked sessions, followed by a thread: first all whose tokens may be valid, then new ones as they come."""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from vigil_verify.http import Http

# Vigil sends something every 2 s.
SILENT_SECONDS = 6.0
RETRY_SECONDS = (0.1, 5.0)
MAX_LINE, MAX_FIELDS = 64 * 1024, 16
EVENTS = frozenset({"revoked", "caught-up", "alive"})
PRUNE_EVERY = 10_000
# Tokens are accepted for some seconds after their end (leeway).
KEPT_SECONDS = 60.0

log = logging.getLogger("vigil_verify")


class Revocations:
    """Follows one of `urls`, the next one after each failure.

    `proved_at` is the last time at which the stream proved that nothing is missing; before the first, minus
    infinity.
    """

    def __init__(self, urls: Sequence[str], server_key: str, http: Http, *, changed: Callable[[], None]) -> None:
        self._urls = urls
        self._server_key = server_key
        self._http = http
        self._changed = changed
        self._until: dict[str, float] = {}
        self._next_prune = PRUNE_EVERY
        self._cursor: str | None = None
        self._response: Any = None
        self._closing = threading.Event()
        self._has_caught_up = False
        self.proved_at = float("-inf")
        self.last_error: str | None = None
        self.caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vigil-revocations", daemon=True)

    def start(self) -> None:
        """Begin to follow, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop; the thread ends by itself within seconds."""
        self._closing.set()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._until

    def __len__(self) -> int:
        return len(self._until)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            before = self.proved_at
            try:
                self._follow(self._urls[failures % len(self._urls)])
                self.last_error = "the stream ended"
            except Exception as error:  # noqa: BLE001 - the thread must go on, whatever a server or a proxy answers
                self.last_error = f"{type(error).__name__}: {error}"
                log.warning("Vigil's stream of revocations failed: %s", self.last_error)
            failures = failures + 1 if self.proved_at == before else 1
            self._changed()
            least, most = RETRY_SECONDS
            # Services that lost one node must not come back to the others in one moment.
            self._closing.wait(min(most, least * 2 ** min(failures, 10)) * random.uniform(0.5, 1))  # noqa: S311

    def _follow(self, url: str) -> None:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._server_key}"}
        if self._cursor is not None:
            headers["Last-Event-ID"] = self._cursor
        self._has_caught_up = False
        with self._http.open(f"{url}/api/server/revocations", headers, timeout=SILENT_SECONDS) as response:
            heard_at = time.monotonic()
            for found in _events(response):
                if self._closing.is_set():
                    return
                if found is not None and found[1] in EVENTS:
                    self._take(*found)
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > SILENT_SECONDS:
                    # A proxy can keep a stream open whose node has gone.
                    raise TimeoutError("the stream has no events of Vigil")

    def _take(self, event_id: str, event: str, data: str) -> None:
        if event == "revoked":
            item = json.loads(data)
            until = datetime.fromisoformat(item["until"]).timestamp() + KEPT_SECONDS
            self._until[item["sessionId"]] = until
            if len(self._until) > self._next_prune:
                self._prune()
        elif event == "caught-up":
            self._has_caught_up = True
        # Only now: an event that could not be read is asked for again.
        if event_id:
            self._cursor = event_id
        if self._has_caught_up:
            self.proved_at = time.monotonic()
            self.last_error = None
            self.caught_up.set()
            self._changed()

    def _prune(self) -> None:
        now = time.time()
        self._until = {session_id: until for session_id, until in self._until.items() if until > now}
        self._next_prune = 2 * len(self._until) + PRUNE_EVERY


def _events(response: Any) -> Iterator[tuple[str, str, str] | None]:
    """Id, name and data of each event, and None after every other line. Raises `OSError` or `ValueError`."""
    fields: dict[str, str] = {}
    while line := response.readline(MAX_LINE + 1):
        if not line.endswith(b"\n"):
            raise ValueError("a line of the stream is cut off or too long")
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name or value:
            fields[name] = value.removeprefix(" ")
            if len(fields) > MAX_FIELDS:
                raise ValueError("an event of the stream has too many fields")
        else:
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", ""), fields["data"]
            fields = {}
        yield None
