"""Authenticates what nodes tell each other through Redis, by HMAC-SHA256 under a key from the root secret.

Threat: somebody who can write to Redis, but does not have the root secret. They cannot make up a message of a node
or an event of a user: what is not genuine is ignored, counted and logged. They can still delete, hold back and
repeat genuine ones, and choose the ids of events; so Redis stays private (docs/production.md).

A message between nodes is `s`, the tag, and JSON. An event is appended to the user's log by a script, which adds
ids and version; its tag covers the user, the name, the session and the payload, and follows the payload
(lua/append.lua). In a room's log (lua/room.lua) the room stands in the place of the session, without a user.
"""

import hmac
import time
from typing import Any

import orjson
import structlog

from auth.crypto.root_secret import RootSecret, is_tag
from auth.platform.metrics import Metrics

SEALED = b"s"
TAG_BYTES = 16
PAYLOAD = b',"d":'
# What stands before the payload in a frame, and in one of a room's log.
FRAME_NAMES = frozenset("uipesvo")
ROOM_FRAME_NAMES = frozenset("ripeo")
MARK = b',"m":"'
END = b'"}'
# Bytes of the mark at the end of a frame.
MARK_BYTES = len(MARK) + 2 * TAG_BYTES + len(END)
LOG_INTERVAL_SECONDS = 5.0

Message = dict[str, Any]

log = structlog.get_logger()


class MessageSeal:
    """Seals and reads messages between nodes and events of users."""

    def __init__(self, root: RootSecret, metrics: Metrics) -> None:
        purpose = "messages between nodes"
        self._key, self._second = root.derive(purpose), root.derive_second(purpose)
        self._metrics = metrics
        self._next_log_at = 0.0

    def seal(self, message: Message) -> bytes:
        """Return a message as it is published."""
        body = orjson.dumps(message)
        return SEALED + _tag(self._key, body) + body

    def mark(self, user_id: str, event: str, session_id: str, payload: bytes) -> bytes:
        """Return a payload with its tag, as it is stored in a frame."""
        tag = _tag(self._key, *_covered(user_id, event, session_id), payload)
        return payload + MARK + tag.hex().encode() + b'"'

    def read(self, raw: bytes) -> Message | None:
        """Return a sealed message, or the values of a frame; None for what is not genuine."""
        try:
            message = self._sealed(raw) if raw[:1] == SEALED else self._frame(raw)
        except (ValueError, KeyError, TypeError, AttributeError):
            message = None
        if message is None:
            self._note_forged()
        return message

    def _sealed(self, raw: bytes) -> Message | None:
        start = len(SEALED) + TAG_BYTES
        tag, body = raw[len(SEALED) : start], raw[start:]
        return orjson.loads(body) if self._is_genuine(tag, body) else None

    def _frame(self, raw: bytes) -> Message | None:
        # The payload is read from the very bytes that are checked.
        start, end = raw.index(PAYLOAD), len(raw) - MARK_BYTES
        head: Message = orjson.loads(raw[:start] + b"}")
        payload = raw[start + len(PAYLOAD) : end]
        tag = bytes.fromhex(raw[end + len(MARK) : -len(END)].decode())
        is_of_room = "r" in head
        covered = _covered("", head["e"], head["r"]) if is_of_room else _covered(head["u"], head["e"], head["s"])
        if not self._is_genuine(tag, *covered, payload):
            return None
        # Otherwise a genuine event could be made a message of another kind.
        if head.keys() != (ROOM_FRAME_NAMES if is_of_room else FRAME_NAMES):
            return None
        head["d"] = orjson.loads(payload)
        return head

    def _is_genuine(self, tag: bytes, *parts: bytes) -> bool:
        return is_tag(tag, lambda key: _tag(key, *parts), (self._key, self._second))

    def _note_forged(self) -> None:
        self._metrics.bus_forged.inc()
        now = time.monotonic()
        if now >= self._next_log_at:
            self._next_log_at = now + LOG_INTERVAL_SECONDS
            log.warning("bus_message_not_genuine", advice="look who else can write to Redis")


def _covered(user_id: str, event: str, session_id: str) -> tuple[bytes, bytes, bytes]:
    return user_id.encode(), event.encode(), session_id.encode()


def _tag(key: bytes, *parts: bytes) -> bytes:
    # Ids and names contain no zero byte, and JSON none either.
    return hmac.digest(key, b"\0".join(parts), "sha256")[:TAG_BYTES]
