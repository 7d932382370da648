"""Cursors: what is handed out comes back, and nothing else is one."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.core.errors import InvalidRequest
from auth.core.paging import EPOCH, LATEST_MS, Cursor

MOMENTS = st.integers(0, LATEST_MS).map(lambda ms: EPOCH + timedelta(milliseconds=ms))


@given(MOMENTS, st.text("0123456789abcdef", min_size=1, max_size=64))
def test_a_cursor_comes_back_as_it_was(at: datetime, row_id: str) -> None:
    cursor = Cursor(at, row_id)
    assert Cursor.parse(str(cursor)) == cursor


def test_it_needs_no_escaping_in_a_url() -> None:
    text = str(Cursor(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "f" * 32))
    assert text == quote(text, safe="")


@given(st.text(max_size=200) | st.binary(max_size=80).map(lambda raw: raw.hex()))
@pytest.mark.parametrize("more", ["", "=", "é"])
def test_anything_else_is_refused_and_nothing_raised_but_that(more: str, text: str) -> None:
    with suppress(InvalidRequest):
        assert isinstance(Cursor.parse(text + more), Cursor)
