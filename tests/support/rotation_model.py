"""Hypothesis state machines of refresh token families.

They model honest clients with lost answers and racing tabs, a thief beside an owner, and a thief who replays
tokens at any distance without using what he gets.

The same machines run against the pure rule and against the operations on a real MongoDB; `Family` is the interface
of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from auth.core.models import ClientKind, Session
from auth.crypto.tokens import LEEWAY as TOKEN_LEEWAY
from auth.sessions.risk import is_elsewhere
from auth.sessions.rotation import MOST_REPLAYS, RotationPolicy, Verdict, begins_moment, judge
from support.session_world import ACCESS_LIFE, IDLE_LIFE, LEEWAY, WHOLE_LIFE, make_session

GIVING = {Verdict.ROTATED, Verdict.REPLAYED, Verdict.CONCURRENT}
POLICY = RotationPolicy(leeway=LEEWAY)
# Client kinds of the owner's client, and of one on another device.
OWNERS, OTHERS = ClientKind("Chrome", "Windows"), ClientKind("Firefox", "Linux")


@dataclass(frozen=True)
class Pair:
    """A token pair held by a client. `tokens`: the family's representation of it."""

    generation: int
    tokens: Any = None


Answer = tuple[Verdict, Pair | None]
# Result of using an access token; `stale`: expired, so that any client refreshes it.
Use = Literal["served", "stale", "refused"]


class Family(Protocol):
    """One session and its token family."""

    def now(self) -> datetime: ...
    def go(self, seconds: float) -> None: ...
    def begin(self) -> Pair: ...
    def refresh(self, pair: Pair, *, elsewhere: bool = False) -> Answer: ...
    def refresh_together(self, pair: Pair, count: int) -> Sequence[Answer]: ...
    def use(self, pair: Pair) -> Use: ...
    def revoke(self) -> None: ...
    def generation(self) -> int: ...
    def is_revoked(self) -> bool: ...
    def alarms(self) -> int: ...
    def close(self) -> None: ...


class RuledFamily:
    """A family based on `judge`, with state changes as guaranteed by `stores.sessions`."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._alarms = 0
        self.session: Session

    def now(self) -> datetime:
        return self._now

    def go(self, seconds: float) -> None:
        self._now += timedelta(milliseconds=round(seconds * 1000))

    def begin(self) -> Pair:
        self.session = make_session(self._now, rotated_by=OWNERS)
        return self._pair(0)

    def _pair(self, generation: int) -> Pair:
        return Pair(generation, min(self._now + ACCESS_LIFE, self.session.expires_at) + TOKEN_LEEWAY)

    def refresh(self, pair: Pair, *, elsewhere: bool = False) -> Answer:
        session, now = self.session, self._now
        kind = OTHERS if elsewhere else OWNERS
        verdict = judge(generation=pair.generation, nonce_matches=True, session=session, now=now, policy=POLICY)
        if verdict is Verdict.ROTATED:
            self.session = replace(
                session,
                generation=session.generation + 1,
                confirmed=False,
                rotated_at=now,
                rotated_by=kind,
                replays=0,
                replayed_at=None,
                expires_at=min(now + IDLE_LIFE, session.ends_at),
            )
        elif verdict in GIVING and begins_moment(session, now, POLICY):
            self.session = replace(session, replays=session.replays + 1, replayed_at=now)
        if verdict in GIVING and is_elsewhere(session, kind, None):
            self._alarms += 1
        if verdict in {Verdict.REUSED, Verdict.FORGED}:
            self._alarms += 1
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

    def alarms(self) -> int:
        return self._alarms

    def close(self) -> None:
        pass


LOST = st.sampled_from(["nothing", "nothing", "request", "answer"])
WAITS = st.one_of(
    st.floats(0, 9), st.floats(10.5, 3600), st.sampled_from([ACCESS_LIFE.total_seconds(), 86_400.0, 3 * 86_400.0])
)


class AnyClients(RuleBasedStateMachine):
    """Invariants that hold for any clients."""

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

    def refresh(self, pair: Pair, *, elsewhere: bool = False) -> Answer:
        """Refresh, and check the answer's invariants."""
        was_revoked = self.family.is_revoked()
        answer = self.family.refresh(pair, elsewhere=elsewhere)
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
    """One browser whose tabs share stored tokens, on a network that loses requests and answers.

    The model never loses the answers to one token at eleven moments in a row while all requests arrive; the
    probability is about 0.3 to the eleventh power.
    """

    logged_out = False
    lost_in_a_row = 0

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
            if answer[1] is not None and (lost == "nothing" or self.lost_in_a_row >= MOST_REPLAYS - 2):
                self.stored, self.lost_in_a_row = answer[1], 0
                return
        self.lost_in_a_row += 1

    @rule(count=st.integers(2, 5), used=st.booleans(), lost=st.booleans(), delay=st.floats(0, 9))
    def tabs_race_with_one_token(self, count: int, used: bool, lost: bool, delay: float) -> None:
        """All tabs read the stored token before any receives an answer; the last one is up to 9 s late."""
        before, was_revoked = self.stored, self.family.is_revoked()
        answers = self.family.refresh_together(before, count)
        for answer in answers:
            # In any order of arrival, at most one of them rotates the session.
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
        if given and (used or not lost or self.lost_in_a_row >= MOST_REPLAYS - 3):
            self.stored, self.lost_in_a_row = given[0], 0
        else:
            self.lost_in_a_row += 2

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
    """A thief has copied the owner's stored tokens. Both use new tokens immediately; answers may be lost.

    Each acts later than the leeway after the other: a thief always within ten seconds of the owner is treated as a
    racing tab.
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
        """The second of the two is detected; `check` asserts that this revokes the session."""
        assert getattr(self, "went_on", set()) != {"owner", "thief"}


class OwnerAndShadow(AnyClients):
    """A thief with a copy of the owner's tokens, who refreshes at any distance and need not use what he gets.

    He may be on another device or be indistinguishable from the owner. The owner is honest and loses answers.
    """

    @initialize()
    def nobody_stole_yet(self) -> None:
        self.stolen: Pair | None = None
        self.was_served_elsewhere = False
        self.replayed: dict[int, list[datetime]] = {}

    def note(self, answer: Answer, pair: Pair) -> None:
        """Record the moments at which a token was replayed, from their times only."""
        if answer[0] is Verdict.ROTATED:
            self.replayed[pair.generation] = [self.family.now()]
        elif answer[0] in GIVING:
            moments = self.replayed[pair.generation]
            if self.family.now() - moments[-1] > LEEWAY:
                moments.append(self.family.now())

    @rule(lost=st.booleans(), used=st.booleans())
    def the_owner_refreshes(self, lost: bool, used: bool) -> None:
        pair = self.stored
        answer = self.refresh(pair)
        self.note(answer, pair)
        if answer[1] is not None and not lost:
            self.stored = answer[1]
            if used:
                assert self.family.use(self.stored) == "served"

    @rule()
    def the_thief_steals(self) -> None:
        self.stolen = self.stored

    @precondition(lambda self: self.stolen is not None)
    @rule(elsewhere=st.booleans(), kept=st.booleans(), used=st.booleans(), after=st.sampled_from([0, 5, 11, 60]))
    def the_thief_refreshes(self, elsewhere: bool, kept: bool, used: bool, after: float) -> None:
        assert self.stolen is not None
        self.family.go(after)
        pair = self.stolen
        answer = self.refresh(pair, elsewhere=elsewhere)
        self.note(answer, pair)
        if answer[1] is not None:
            self.was_served_elsewhere |= elsewhere
            self.stolen = answer[1] if kept else pair
            if used:
                self.family.use(answer[1])

    @invariant()
    def nobody_is_served_elsewhere_untold(self) -> None:
        if getattr(self, "was_served_elsewhere", False):
            assert self.family.alarms()

    @invariant()
    def no_token_is_served_for_ever(self) -> None:
        """At most the moment of its rotation and ten more, even for a thief who looks like the owner."""
        for moments in getattr(self, "replayed", {}).values():
            assert len(moments) <= 1 + MOST_REPLAYS
