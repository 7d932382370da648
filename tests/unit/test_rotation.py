"""The refresh verdict: each row of the table in docs/sessions.md, and what follows from all of them together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from support.rotation_model import HonestClients, OwnerAndShadow, OwnerAndThief, RuledFamily
from support.session_world import make_session

from auth.core.models import Session
from auth.sessions.rotation import RotationPolicy, Verdict, begins_moment, judge

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
TEN_SECONDS = RotationPolicy(leeway=timedelta(seconds=10))


def session(generation: int = 7, *, confirmed: bool = False, rotated_ago: float = 0, **changes: object) -> Session:
    rotated_at = NOW - timedelta(seconds=rotated_ago)
    return replace(
        make_session(NOW - timedelta(days=1)),
        generation=generation,
        confirmed=confirmed,
        rotated_at=rotated_at,
        expires_at=NOW + timedelta(days=6),
        **changes,  # type: ignore[arg-type]
    )


def verdict(
    presented: int,
    of: Session,
    *,
    nonce_matches: bool = True,
    policy: RotationPolicy = TEN_SECONDS,
    elsewhere: bool = False,
    waited: float = 0,
) -> str:
    return judge(
        generation=presented,
        nonce_matches=nonce_matches,
        session=of,
        now=NOW,
        policy=policy,
        elsewhere=elsewhere,
        waited=timedelta(seconds=waited),
    ).value


def replayed(times: int, last_ago: float, *, rotated_ago: float = 3600, confirmed: bool = False) -> Session:
    """A session whose last token came again at so many moments, the last of which began so long ago."""
    return session(
        rotated_ago=rotated_ago,
        confirmed=confirmed,
        replays=times,
        replayed_at=NOW - timedelta(seconds=last_ago),
    )


@pytest.mark.parametrize(
    ("presented", "held", "outcome"),
    [
        pytest.param(7, session(), "rotated", id="the current one, not confirmed"),
        pytest.param(7, session(confirmed=True, rotated_ago=900), "rotated", id="the current one, confirmed"),
        pytest.param(0, session(0), "rotated", id="the first one"),
        pytest.param(6, session(rotated_ago=0), "replayed", id="the last one, answer lost"),
        pytest.param(6, session(rotated_ago=10.001), "replayed", id="the last one, answer lost, later"),
        pytest.param(6, session(rotated_ago=6 * 86400), "replayed", id="the last one, answer lost, however late"),
        pytest.param(6, session(confirmed=True, rotated_ago=0), "concurrent", id="two tabs at once"),
        pytest.param(6, session(confirmed=True, rotated_ago=10), "concurrent", id="two tabs, 10 s apart"),
        pytest.param(6, session(confirmed=True, rotated_ago=10.001), "refresh_reused", id="confirmed, longer ago"),
        pytest.param(5, session(), "refresh_reused", id="two behind, not confirmed"),
        pytest.param(5, session(confirmed=True), "refresh_reused", id="two behind, just now"),
        pytest.param(0, session(2**32 - 1), "refresh_reused", id="the first one at the end of time"),
        pytest.param(8, session(), "forged", id="from the future"),
        pytest.param(2**32 - 2, session(), "forged", id="from the far future"),
    ],
)
def test_each_row_of_the_table(presented: int, held: Session, outcome: str) -> None:
    assert verdict(presented, held) == outcome


@pytest.mark.parametrize(
    ("held", "outcome", "counts"),
    [
        pytest.param(session(rotated_ago=10), "replayed", False, id="the moment of the rotation itself"),
        pytest.param(session(rotated_ago=10.001), "replayed", True, id="the first moment after it"),
        pytest.param(replayed(1, 10), "replayed", False, id="the same moment again"),
        pytest.param(replayed(1, 10.001), "replayed", True, id="the second"),
        pytest.param(replayed(9, 11), "replayed", True, id="the tenth"),
        pytest.param(replayed(10, 10), "replayed", False, id="the tenth once more"),
        pytest.param(replayed(10, 10.001), "refresh_reused", True, id="the eleventh"),
        pytest.param(replayed(10, 86_400), "refresh_reused", True, id="the eleventh, however late"),
        pytest.param(replayed(10, -1), "replayed", False, id="counted by a node whose clock is ahead"),
        pytest.param(replayed(1, 10, confirmed=True), "concurrent", False, id="confirmed by one of six at once"),
        pytest.param(replayed(1, 10.001, confirmed=True), "refresh_reused", True, id="confirmed since"),
    ],
)
def test_a_token_comes_again_at_ten_moments_at_most(held: Session, outcome: str, counts: bool) -> None:
    assert verdict(6, held) == outcome
    assert begins_moment(held, NOW, TEN_SECONDS) is counts


def test_a_moment_cannot_be_drawn_out() -> None:
    """Nine seconds apart, each is within the leeway of the one before: every second of them begins a moment."""
    held, moments = session(rotated_ago=11), 0
    for step in range(40):
        now = NOW + timedelta(seconds=9 * step)
        if judge(generation=6, nonce_matches=True, session=held, now=now, policy=TEN_SECONDS) is Verdict.REUSED:
            break
        if begins_moment(held, now, TEN_SECONDS):
            moments += 1
            held = replace(held, replays=held.replays + 1, replayed_at=now)
    assert (moments, step) == (10, 20)


ENDING = RotationPolicy(leeway=timedelta(seconds=10), elsewhere_ends=True)


@pytest.mark.parametrize(
    ("presented", "held", "told", "ended"),
    [
        pytest.param(7, session(), "rotated", "rotated", id="the current one"),
        pytest.param(6, session(), "replayed", "refresh_elsewhere", id="the last one, answer lost"),
        pytest.param(6, session(confirmed=True), "concurrent", "refresh_elsewhere", id="two tabs"),
        pytest.param(5, session(), "refresh_reused", "refresh_reused", id="theft is theft"),
        pytest.param(8, session(), "forged", "forged", id="from the future"),
    ],
)
def test_from_elsewhere_a_token_that_comes_again_ends_its_session_where_that_is_set(
    presented: int, held: Session, told: str, ended: str
) -> None:
    assert verdict(presented, held, elsewhere=True) == told
    assert verdict(presented, held, elsewhere=True, policy=ENDING) == ended
    assert verdict(presented, held, policy=ENDING) == verdict(presented, held)


@pytest.mark.parametrize(
    ("presented", "held", "waited", "outcome"),
    [
        pytest.param(6, session(confirmed=True, rotated_ago=11), 10, "refresh_reused", id="waited for the leeway"),
        pytest.param(6, session(confirmed=True, rotated_ago=11), 10.001, "unavailable", id="for longer"),
        pytest.param(6, session(confirmed=True, rotated_ago=11), 14, "unavailable", id="a frozen node"),
        pytest.param(5, session(rotated_ago=3600), 5, "refresh_reused", id="two behind, and was so when it came"),
        pytest.param(5, session(rotated_ago=3), 5.001, "unavailable", id="two behind, and was not when it came"),
        pytest.param(5, session(rotated_ago=3), 4.999, "refresh_reused", id="as far as clocks differ"),
        pytest.param(5, session(rotated_ago=-60), 0, "refresh_reused", id="rotated by a clock that is ahead"),
        pytest.param(6, replayed(10, 11), 11, "unavailable", id="the eleventh moment"),
        pytest.param(7, session(), 3600, "rotated", id="the current one"),
        pytest.param(6, session(rotated_ago=3600), 3600, "replayed", id="an answer lost"),
        pytest.param(8, session(), 3600, "forged", id="from the future"),
    ],
)
def test_no_request_that_waited_is_found_a_theft(
    presented: int, held: Session, waited: float, outcome: str
) -> None:
    assert verdict(presented, held, waited=waited) == outcome
    if outcome == "unavailable":
        assert verdict(presented, held, waited=waited, elsewhere=True, policy=ENDING) == outcome


def test_what_ends_a_session_from_elsewhere_waits_as_theft_does() -> None:
    held = session(rotated_ago=20)
    assert verdict(6, held, elsewhere=True, policy=ENDING, waited=11) == "unavailable"
    assert verdict(6, held, elsewhere=True, waited=11) == "replayed"


def test_without_leeway_a_healthy_node_still_finds_thefts() -> None:
    strict = RotationPolicy(leeway=timedelta(0))
    held = session(confirmed=True, rotated_ago=60)
    assert verdict(6, held, policy=strict, waited=2) == "refresh_reused"
    assert verdict(6, held, policy=strict, waited=2.001) == "unavailable"


@pytest.mark.parametrize("presented", [0, 5, 6, 7, 8])
def test_another_nonce_is_forged_whatever_the_generation(presented: int) -> None:
    assert verdict(presented, session(), nonce_matches=False) == "forged"


@pytest.mark.parametrize("presented", [0, 5, 6, 7, 8])
@pytest.mark.parametrize("nonce_matches", [True, False])
def test_a_session_that_is_over_says_so_first_and_raises_no_alarm(presented: int, nonce_matches: bool) -> None:
    """An old token shown after a logout must not become a theft: there is nothing left to steal."""
    revoked = session(revoked_at=NOW - timedelta(minutes=1))
    expired = replace(session(), expires_at=NOW)
    assert verdict(presented, revoked, nonce_matches=nonce_matches) == "session_revoked"
    assert verdict(presented, expired, nonce_matches=nonce_matches) == "session_expired"
    both = replace(revoked, expires_at=NOW - timedelta(days=1))
    assert verdict(presented, both, nonce_matches=nonce_matches) == "session_revoked"


def test_a_session_lives_to_the_last_millisecond_before_its_end() -> None:
    assert verdict(7, replace(session(), expires_at=NOW + timedelta(milliseconds=1))) == "rotated"
    assert verdict(7, replace(session(), expires_at=NOW)) == "session_expired"


def test_without_leeway_only_the_same_instant_is_a_race() -> None:
    strict = RotationPolicy(leeway=timedelta(0))
    assert verdict(6, session(confirmed=True, rotated_ago=0), policy=strict) == "concurrent"
    assert verdict(6, session(confirmed=True, rotated_ago=0.001), policy=strict) == "refresh_reused"
    assert verdict(6, session(rotated_ago=100), policy=strict) == "replayed"


def test_a_clock_that_was_set_back_is_no_theft() -> None:
    """Another node's clock may be ahead of ours: the rotation then seems to lie in the future."""
    assert verdict(6, session(confirmed=True, rotated_ago=-3)) == "concurrent"


@given(
    presented=st.integers(0, 2**32 - 2),
    generation=st.integers(0, 2**32 - 2),
    confirmed=st.booleans(),
    nonce_matches=st.booleans(),
    rotated_ago=st.floats(-5, 10**7),
    over=st.sampled_from(["no", "revoked", "expired"]),
)
def test_only_a_live_session_and_its_last_two_generations_ever_give_a_token(
    presented: int, generation: int, confirmed: bool, nonce_matches: bool, rotated_ago: float, over: str
) -> None:
    held = session(generation, confirmed=confirmed, rotated_ago=rotated_ago)
    if over == "revoked":
        held = replace(held, revoked_at=NOW)
    if over == "expired":
        held = replace(held, expires_at=NOW - timedelta(milliseconds=1))
    outcome = verdict(presented, held, nonce_matches=nonce_matches)
    if outcome in {"rotated", "replayed", "concurrent"}:
        assert over == "no"
        assert nonce_matches
        assert presented in {generation, generation - 1}
        assert (outcome == "rotated") == (presented == generation)
    if over == "no" and nonce_matches and presented < generation - 1:
        assert outcome == "refresh_reused"


@pytest.mark.parametrize("clients", [HonestClients, OwnerAndThief, OwnerAndShadow])
def test_families_by_the_rule_alone(clients: type) -> None:
    """Honest clients are never refused; of owner and thief only one goes on; nothing revives a session.

    A thief who looks like the owner and comes whenever he likes is bounded, and one who does not is told.
    """

    class ByTheRule(clients):
        @staticmethod
        def make_family() -> RuledFamily:
            return RuledFamily(NOW)

    run_state_machine_as_test(ByTheRule, settings=settings(max_examples=80, stateful_step_count=40, deadline=None))


def test_a_thief_who_only_refreshes_and_keeps_still_is_taken_for_a_lost_answer() -> None:
    """What the rule cannot see, written down: the owner's refresh then replays instead of raising the alarm.

    The replay stands in the audit trail (tests/sessions), and the thief is found out with the first pair
    that they use before the owner had it.
    """
    family = RuledFamily(NOW)
    stolen = owned = family.begin()
    silent = family.refresh(stolen)
    assert silent[0] is Verdict.ROTATED
    family.go(600)
    outcome, pair = family.refresh(owned)
    assert outcome is Verdict.REPLAYED
    assert pair is not None
    family.use(pair)
    family.go(600)
    assert silent[1] is not None
    outcome, impatient = family.refresh(silent[1])
    assert outcome is Verdict.ROTATED
    assert impatient is not None
    family.use(impatient)
    family.go(11)
    assert family.refresh(pair)[0] is Verdict.REUSED
