"""Refresh token families as people use them, for hypothesis to play: honest clients with lost answers and
racing tabs, and a thief beside an owner.

The same machines run against the pure rule and against the operations on a real MongoDB; a `Family` is what
they need of either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from auth.models import Session
from auth.rotation import RotationPolicy, Verdict, judge
from auth.tokens import LEEWAY as TOKEN_LEEWAY
from support.session_world import ACCESS_LIFE, IDLE_LIFE, LEEWAY, WHOLE_LIFE, make_session

GIVING = {Verdict.ROTATED, Verdict.REPLAYED, Verdict.CONCURRENT}
POLICY = RotationPolicy(leeway=LEEWAY)


@dataclass(frozen=True)
class Pair:
    """A token pair in somebody's hands. `tokens` is what the family knows it by."""

    generation: int
    tokens: Any = None


Answer = tuple[Verdict, Pair | None]
# What a use of the access token comes to; `stale` is one past its time, which any client refreshes.
Use = Literal["served", "stale", "refused"]


class Family(Protocol):
    """One session and its token family, wherever its rules are kept."""

    def now(self) -> datetime: ...
    def go(self, seconds: float) -> None: ...
    def begin(self) -> Pair: ...
    def refresh(self, pair: Pair) -> Answer: ...
    def refresh_together(self, pair: Pair, count: int) -> Sequence[Answer]: ...
    def use(self, pair: Pair) -> Use: ...
    def revoke(self) -> None: ...
    def generation(self) -> int: ...
    def is_revoked(self) -> bool: ...
    def close(self) -> None: ...


class RuledFamily:
    """A family by `judge` alone; the state changes as `stores.sessions` promises to change it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self.session: Session

    def now(self) -> datetime:
        return self._now

    def go(self, seconds: float) -> None:
        self._now += timedelta(milliseconds=round(seconds * 1000))

    def begin(self) -> Pair:
        self.session = make_session(self._now)
        return self._pair(0)

    def _pair(self, generation: int) -> Pair:
        return Pair(generation, min(self._now + ACCESS_LIFE, self.session.expires_at) + TOKEN_LEEWAY)

    def refresh(self, pair: Pair) -> Answer:
        session, now = self.session, self._now
        verdict = judge(generation=pair.generation, nonce_matches=True, session=session, now=now, policy=POLICY)
        if verdict is Verdict.ROTATED:
            self.session = replace(
                session,
                generation=session.generation + 1,
                confirmed=False,
                rotated_at=now,
                expires_at=min(now + IDLE_LIFE, session.ends_at),
            )
        if verdict in {Verdict.REUSED, Verdict.FORGED}:
            self.revoke()
        return verdict, self._pair(pair.generation + 1) if verdict in GIVING else None

    def refresh_together(self, pair: Pair, count: int) -> Sequence[Answer]:
        return [self.refresh(pair) for _ in range(count)]

    def use(self, pair: Pair) -> Use:
        if self._now >= pair.tokens:
            return "stale"
        if self.is_revoked():
            return "refused"
        if pair.generation == self.session.generation:
            self.session = replace(self.session, confirmed=True)
        return "served"

    def revoke(self) -> None:
        if self.session.is_live(self._now):
            self.session = replace(self.session, revoked_at=self._now)

    def generation(self) -> int:
        return self.session.generation

    def is_revoked(self) -> bool:
        return self.session.revoked_at is not None

    def close(self) -> None:
        pass


LOST = st.sampled_from(["nothing", "nothing", "request", "answer"])
WAITS = st.one_of(
    st.floats(0, 9), st.floats(10.5, 3600), st.sampled_from([ACCESS_LIFE.total_seconds(), 86_400.0, 3 * 86_400.0])
)


class AnyClients(RuleBasedStateMachine):
    """What holds whoever holds the tokens."""

    make_family: Callable[[], Family]

    def __init__(self) -> None:
        super().__init__()
        self.family = type(self).make_family()
        self.highest = 0

    @initialize()
    def log_in(self) -> None:
        self.stored = self.family.begin()
        self.logged_in_at = self.slid_at = self.family.now()

    @property
    def expired(self) -> bool:
        end = min(self.slid_at + IDLE_LIFE, self.logged_in_at + WHOLE_LIFE)
        return self.family.now() >= end

    def refresh(self, pair: Pair) -> Answer:
        """Refresh, and check what is true of every answer."""
        was_revoked = self.family.is_revoked()
        answer = self.family.refresh(pair)
        self.check(answer, pair, was_revoked=was_revoked)
        return answer

    def check(self, answer: Answer, pair: Pair, *, was_revoked: bool) -> None:
        verdict, given = answer
        assert (given is not None) == (verdict in GIVING)
        if was_revoked:
            assert verdict is Verdict.REVOKED
        elif self.expired:
            assert verdict is Verdict.EXPIRED
        if given is not None:
            assert given.generation == pair.generation + 1 == self.family.generation()
        if verdict is Verdict.ROTATED:
            self.slid_at = self.family.now()
        if verdict is Verdict.REUSED:
            assert self.family.is_revoked()

    @rule(seconds=WAITS)
    def time_goes_by(self, seconds: float) -> None:
        self.family.go(seconds)

    @invariant()
    def generation_never_decreases(self) -> None:
        if hasattr(self, "stored"):
            generation = self.family.generation()
            assert generation >= self.highest
            self.highest = generation

    def teardown(self) -> None:
        self.family.close()


class HonestClients(AnyClients):
    """One browser whose tabs share a place for tokens, on a network that loses requests and answers."""

    logged_out = False

    def must_be_served(self, answer: Answer) -> None:
        verdict, given = answer
        if self.logged_out:
            assert verdict is Verdict.REVOKED
        elif not self.expired:
            assert given is not None, f"an honest client was refused: {verdict}"

    @rule()
    def a_tab_uses_the_stored_pair(self) -> None:
        used = self.family.use(self.stored)
        assert used != "refused" or self.logged_out

    @rule(lost=LOST, repeats=st.integers(0, 3))
    def a_tab_refreshes(self, lost: str, repeats: int) -> None:
        for _ in range(1 + repeats):
            if lost == "request":
                return
            answer = self.refresh(self.stored)
            self.must_be_served(answer)
            if lost == "nothing" and answer[1] is not None:
                self.stored = answer[1]
                return

    @rule(count=st.integers(2, 5), used=st.booleans(), lost=st.booleans(), delay=st.floats(0, 9))
    def tabs_race_with_one_token(self, count: int, used: bool, lost: bool, delay: float) -> None:
        """All read the stored token before any of them had its answer; the last is up to 9 s slow."""
        before, was_revoked = self.stored, self.family.is_revoked()
        answers = self.family.refresh_together(before, count)
        for answer in answers:
            # In whatever order they came, at most one of them moved the session on.
            self.must_be_served(answer)
        assert sum(verdict is Verdict.ROTATED for verdict, _ in answers) <= 1
        if any(verdict is Verdict.ROTATED for verdict, _ in answers):
            self.slid_at = self.family.now()
        given = [pair for _, pair in answers if pair is not None]
        assert len({pair.generation for pair in given}) <= 1
        if given and used:
            assert self.family.use(given[0]) == "served"
        self.family.go(delay)
        if any(verdict is Verdict.ROTATED for verdict, _ in answers):
            slow = self.family.refresh(before)
            self.check(slow, before, was_revoked=was_revoked)
            self.must_be_served(slow)
        if given and not (lost and not used):
            self.stored = given[0]

    @precondition(lambda self: not self.logged_out)
    @rule()
    def log_out(self) -> None:
        self.family.revoke()
        self.logged_out = not self.expired

    @invariant()
    def nobody_else_ends_the_session(self) -> None:
        if hasattr(self, "stored"):
            assert self.family.is_revoked() == self.logged_out


class OwnerAndThief(AnyClients):
    """A thief has copied the owner's stored tokens. Both use at once what they get; answers may be lost.

    Whoever acts does so later than the leeway after the other: a thief who is always within ten seconds of
    the owner is taken for a racing tab.
    """

    @initialize()
    def nobody_stole_yet(self) -> None:
        self.hands: dict[str, Pair | None] = {}
        self.went_on: set[str] = set()

    def pair_of(self, who: str) -> Pair:
        return self.hands.get(who) or self.stored

    @rule()
    def the_thief_steals(self) -> None:
        self.hands = {"owner": self.pair_of("owner"), "thief": self.pair_of("owner")}
        self.went_on = set()

    @rule(who=st.sampled_from(["owner", "thief"]), lost=st.booleans())
    def somebody_refreshes(self, who: str, lost: bool) -> None:
        if who == "thief" and "thief" not in self.hands:
            return
        self.family.go(LEEWAY.total_seconds() + 0.5)
        _, given = self.refresh(self.pair_of(who))
        if given is None or lost:
            return
        self.hands[who] = given
        if "thief" in self.hands:
            self.went_on.add(who)
        assert self.family.use(given) == "served"

    @rule(who=st.sampled_from(["owner", "thief"]))
    def somebody_uses_what_they_have(self, who: str) -> None:
        if who in self.hands:
            unwelcome = "served" if self.family.is_revoked() else "refused"
            assert self.family.use(self.pair_of(who)) != unwelcome

    @invariant()
    def never_do_both_go_on(self) -> None:
        """The second of the two to come is found out: `check` has seen that this revokes the session."""
        assert getattr(self, "went_on", set()) != {"owner", "thief"}
