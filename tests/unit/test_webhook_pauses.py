"""Pauses of webhook endpoints, by what a receiver answered."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.backends.webhook_pauses import GIVE_UP, LONGEST_PAUSE, LONGEST_TEST_PAUSE, asked_pause

NOW = datetime(2026, 11, 30, 14, tzinfo=UTC)


def asked(status: int, retry_after: str = "", *, failures: int = 1) -> timedelta:
    return asked_pause(status, retry_after, failures=failures, now=NOW)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 408, 500, 501])
def test_most_failures_ask_for_no_pause(status: int) -> None:
    assert not asked(status)


@pytest.mark.parametrize("status", [429, 502, 504])
def test_an_overloaded_receiver_gets_pauses_that_grow(status: int) -> None:
    assert [asked(status, failures=count).total_seconds() for count in (1, 2, 3)] == [5, 10, 20]
    assert asked(status, failures=100) == LONGEST_TEST_PAUSE


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Mon, 30 Nov 2026 14:10:00 GMT", 600),
        ("Monday, 30-Nov-26 14:10:00 GMT", 600),
        ("Mon Nov 30 14:10:00 2026", 600),
    ],
)
def test_a_receiver_says_for_how_long(status: int, retry_after: str, seconds: int) -> None:
    assert asked(status, retry_after) == timedelta(seconds=seconds)


@pytest.mark.parametrize("retry_after", ["86400", "9" * 400, "Mon, 30 Nov 2027 14:00:00 GMT"])
def test_nobody_is_paused_for_longer_than_an_hour_by_words(retry_after: str) -> None:
    assert asked(503, retry_after) == LONGEST_PAUSE


@pytest.mark.parametrize("retry_after", ["", "soon", "-5", "1.5", "٣", "Mon, 30 Nov 2026 13:00:00 GMT", "0"])
def test_what_says_nothing_asks_for_no_pause(retry_after: str) -> None:
    assert not asked(503, retry_after)


def test_a_receiver_that_is_gone_gets_nothing_until_what_waits_is_given_up() -> None:
    assert asked(410, "5") == GIVE_UP
