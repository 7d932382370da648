"""Pages of long lists: a cursor says after which row the next page begins.

Opaque to clients, which only hand it back, and worth nothing to a forger: it can name any place in a list, and
the list shows to everybody what they may see. Pure.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from auth.errors import FieldError, InvalidRequest

Row = TypeVar("Row")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The year 9999: what is later is no time.
LATEST_MS = 253_402_300_799_999
_PLAIN = re.compile(r"(\d{1,15})\.([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list that begins with the newest: rows of one moment are in the order of their ids."""

    at: datetime
    row_id: str

    def __str__(self) -> str:
        plain = f"{(self.at - EPOCH) // timedelta(milliseconds=1)}.{self.row_id}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor that was handed out as `text`. Raises `InvalidRequest` for what never was."""
        try:
            plain = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            match = _PLAIN.fullmatch(plain.decode("ascii"))
        except (binascii.Error, UnicodeError):
            match = None
        if match is None or int(match[1]) > LATEST_MS:
            raise InvalidRequest(errors=[FieldError("before", "This is no cursor of this list.")])
        return cls(EPOCH + timedelta(milliseconds=int(match[1])), match[2])


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list, and where the next ones begin, if there are more."""

    rows: tuple[Row, ...]
    next: Cursor | None
