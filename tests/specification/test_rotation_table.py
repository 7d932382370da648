"""The table of docs/sessions.md, row by row: the verdict is what it says."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.session_world import make_session

from auth.sessions.rotation import RotationPolicy, Verdict, judge

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HELD = 7
POLICY = RotationPolicy(timedelta(seconds=10), elsewhere_ends=True)
PAGE = (Path(__file__).parents[2] / "docs/sessions.md").read_text()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@dataclass(frozen=True)
class SocketState:
    """What a row's words mean: a session, and how the token comes."""

    session: dict[str, Any]
    asked: dict[str, Any]


def state(*, elsewhere: bool = False, waited: float = 0, **session: Any) -> SocketState:
    return SocketState(session, {"elsewhere": elsewhere, "waited": timedelta(seconds=waited)})


CONFIRMED = {"confirmed": True}
PRESENTED = {
    "any": [(n, nonce) for n in (0, 5, 6, 7, 8) for nonce in (True, False)],
    "n > g, or another nonce": [(8, True), (99, True), *((n, False) for n in (0, 6, 7, 8))],
    "n = g": [(7, True)],
    "n = g−1": [(6, True)],
    "n < g−1": [(5, True), (0, True)],
    "n < g": [(6, True), (5, True), (0, True)],
}
STATES = {
    "": [state(), state(**CONFIRMED), state(rotated_at=ago(86_400)), state(waited=1)],
    "revoked": [state(revoked_at=ago(1)), state(revoked_at=ago(1), waited=60, elsewhere=True)],
    "expired": [state(expires_at=NOW), state(expires_at=ago(9), waited=60, elsewhere=True)],
    "not confirmed, within 10 s of the rotation": [
        state(rotated_at=ago(0)),
        state(rotated_at=ago(10), replays=10, replayed_at=ago(11)),
    ],
    "not confirmed, in one of ten later replay windows": [
        state(rotated_at=ago(11)),
        state(rotated_at=ago(86_400), replays=9, replayed_at=ago(3600)),
        state(rotated_at=ago(86_400), replays=10, replayed_at=ago(10)),
    ],
    "not confirmed, in an eleventh replay window": [
        state(rotated_at=ago(86_400), replays=10, replayed_at=ago(11))
    ],
    "confirmed, within 10 s of the rotation or of the start of a replay window": [
        state(rotated_at=ago(10), **CONFIRMED),
        state(rotated_at=ago(60), replays=1, replayed_at=ago(10), **CONFIRMED),
    ],
    "confirmed, later": [
        state(rotated_at=ago(10.001), **CONFIRMED),
        state(rotated_at=ago(60), replays=1, replayed_at=ago(10.001), **CONFIRMED),
    ],
    "replayed or concurrent, from elsewhere, with `VIGIL_REUSE_ELSEWHERE=end`": [
        state(rotated_at=ago(60), elsewhere=True),
        state(rotated_at=ago(5), elsewhere=True, **CONFIRMED),
    ],
    "one of these ends, but the request waited": [
        state(rotated_at=ago(86_400), waited=11, **CONFIRMED),
        state(rotated_at=ago(86_400), waited=11, elsewhere=True),
    ],
}
ROWS = [
    tuple(cell.strip() for cell in row.strip("|").split("|"))
    for row in PAGE.split("| presented | state | outcome |\n|---|---|---|\n")[1].split("\n\n")[0].splitlines()
]


@pytest.mark.parametrize(("presented", "when", "outcome"), ROWS)
def test_each_row_says_what_the_rule_does(presented: str, when: str, outcome: str) -> None:
    named = re.findall(r"— `(\w+)`$", outcome)
    for state in STATES[when]:
        session = make_session(ago(86_400 * 2), generation=HELD, **{"rotated_at": ago(5), **state.session})
        for generation, nonce in PRESENTED[presented]:
            verdict = judge(
                generation=generation, nonce_matches=nonce, session=session, now=NOW, policy=POLICY, **state.asked
            )
            assert [verdict.value] == named


def test_the_table_has_every_state_and_every_verdict() -> None:
    assert {when for _, when, _ in ROWS} == STATES.keys()
    assert {presented for presented, _, _ in ROWS} == PRESENTED.keys()
    verdicts = {re.findall(r"`(\w+)`$", outcome)[0] for _, _, outcome in ROWS}
    assert verdicts == {verdict.value for verdict in Verdict}
