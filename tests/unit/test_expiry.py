"""When a socket is warned of its token's end: a pure function of the token and the settings."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from realtime.gateway.expiry import schedule

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
# datetime counts whole microseconds; a share of a span is rounded to them.
ROUNDING = timedelta(microseconds=2)

lives = st.timedeltas(timedelta(), timedelta(days=400))
leads = st.timedeltas(timedelta(), timedelta(days=400))
graces = st.timedeltas(timedelta(), timedelta(hours=1))
jitters = st.floats(0, 1)


def test_a_quarter_of_an_hour_is_warned_of_a_minute_ahead() -> None:
    plan = schedule(issued_at=START, expires_at=START + 15 * MINUTE, lead=MINUTE, grace=30 * SECOND, jitter=0)
    assert plan.warn_at == START + 14 * MINUTE
    assert plan.expires_at == START + 15 * MINUTE
    assert plan.grace_ends_at == START + 15 * MINUTE + 30 * SECOND


def test_a_short_life_is_warned_of_a_fifth_ahead() -> None:
    plan = schedule(issued_at=START, expires_at=START + 20 * SECOND, lead=MINUTE, grace=SECOND, jitter=0)
    assert plan.warn_at == START + 16 * SECOND


def test_jitter_takes_at_most_a_quarter_of_the_lead() -> None:
    plan = schedule(issued_at=START, expires_at=START + 15 * MINUTE, lead=MINUTE, grace=SECOND, jitter=1)
    assert plan.warn_at == START + 14 * MINUTE + 15 * SECOND


@given(life=lives, lead=leads, grace=graces, jitter=jitters)
def test_the_moments_come_in_order_whatever_the_settings(
    life: timedelta, lead: timedelta, grace: timedelta, jitter: float
) -> None:
    plan = schedule(issued_at=START, expires_at=START + life, lead=lead, grace=grace, jitter=jitter)
    assert START <= plan.warn_at <= plan.expires_at <= plan.grace_ends_at
    assert (plan.expires_at, plan.grace_ends_at) == (START + life, START + life + grace)


@given(life=lives, lead=leads, grace=graces, jitter=jitters)
def test_the_warning_leaves_three_quarters_of_the_lead_and_no_more_than_the_lead(
    life: timedelta, lead: timedelta, grace: timedelta, jitter: float
) -> None:
    plan = schedule(issued_at=START, expires_at=START + life, lead=lead, grace=grace, jitter=jitter)
    left, most = plan.expires_at - plan.warn_at, min(lead, life / 5)
    assert most * 0.75 - ROUNDING <= left <= most + ROUNDING


@given(life=lives, lead=leads, earlier=jitters, later=jitters)
def test_more_jitter_is_never_an_earlier_warning(
    life: timedelta, lead: timedelta, earlier: float, later: float
) -> None:
    first, second = sorted((earlier, later))
    plans = [
        schedule(issued_at=START, expires_at=START + life, lead=lead, grace=SECOND, jitter=jitter)
        for jitter in (first, second)
    ]
    assert plans[0].warn_at <= plans[1].warn_at + ROUNDING
