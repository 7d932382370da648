"""Proofs that a user has been in a room since an event of its history, which clients keep and send back.

Threat: a client that names an earlier place, to read what was said before it was let in.
"""

import hmac

from auth.crypto.root_secret import RootSecret, is_tag


class PlaceProofs:
    """Makes and checks proofs that a user has been in a room since an event of its history."""

    def __init__(self, root: RootSecret) -> None:
        purpose = "places in rooms"
        self._keys = root.derive(purpose), root.derive_second(purpose)

    def make(self, user_id: str, room: str, since: int) -> str:
        """Return a proof: the id of the last event before, and a tag."""
        return f"{since}.{_tag(self._keys[0], user_id, room, since).hex()}"

    def read(self, user_id: str, room: str, proof: str) -> int | None:
        """The id in a proof; None if it is not genuine."""
        since, _, tag = proof.partition(".")
        try:
            given, number = bytes.fromhex(tag), int(since)
            is_genuine = is_tag(given, lambda key: _tag(key, user_id, room, number), self._keys)
        except ValueError:  # a client can also name a room that is not Unicode
            return None
        return number if is_genuine else None


def _tag(key: bytes, user_id: str, room: str, since: int) -> bytes:
    return hmac.digest(key, b"\0".join((user_id.encode(), room.encode(), str(since).encode())), "sha256")[:16]
