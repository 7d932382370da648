"""Pagination by cursor: a cursor names the row after which the next page begins.

Cursors are opaque to clients but not protected: a forged one can only select another position in a list whose
rows the caller may see anyway. Pure.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from auth.core.errors import FieldError, InvalidRequest

Row = TypeVar("Row")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The end of year 9999, the latest valid datetime.
LATEST_MS = 253_402_300_799_999
_PLAIN = re.compile(r"(\d{1,15})\.([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list ordered newest first; rows with the same time are ordered by id."""

    at: datetime
    row_id: str

    def __str__(self) -> str:
        plain = f"{(self.at - EPOCH) // timedelta(milliseconds=1)}.{self.row_id}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse a cursor returned earlier. Raises `InvalidRequest` if malformed."""
        try:
            plain = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            match = _PLAIN.fullmatch(plain.decode("ascii"))
        except (binascii.Error, UnicodeError):
            match = None
        if match is None or int(match[1]) > LATEST_MS:
            raise InvalidRequest(errors=[FieldError("before", "This is not a valid cursor for this list.")])
        return cls(EPOCH + timedelta(milliseconds=int(match[1])), match[2])


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page of rows, and the cursor of the next page if there is one."""

    rows: tuple[Row, ...]
    next: Cursor | None
