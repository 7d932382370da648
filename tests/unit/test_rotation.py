"""The refresh verdict: each row of the table in docs/sessions.md, and what follows from all of them together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from support.rotation_model import HonestClients, OwnerAndThief, RuledFamily
from support.session_world import make_session

from auth.models import Session
from auth.rotation import RotationPolicy, Verdict, judge

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
    presented: int, of: Session, *, nonce_matches: bool = True, policy: RotationPolicy = TEN_SECONDS
) -> str:
    return judge(generation=presented, nonce_matches=nonce_matches, session=of, now=NOW, policy=policy).value


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


@pytest.mark.parametrize("clients", [HonestClients, OwnerAndThief])
def test_families_by_the_rule_alone(clients: type) -> None:
    """Honest clients are never refused; of owner and thief only one goes on; nothing revives a session."""

    class ByTheRule(clients):  # type: ignore[misc]
        @staticmethod
        def make_family() -> RuledFamily:
            return RuledFamily(NOW)

    run_state_machine_as_test(
        ByTheRule, settings=settings(max_examples=200, stateful_step_count=40, deadline=None)
    )


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
