"""Decides what to do with a presented refresh token. Pure; the table is in docs/sessions.md."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from auth.core.models import Session

# Honest clients present one token at one or two moments; no network loses eleven answers in a row.
MOST_REPLAYS = 10
# Longer than any request waits on a healthy node and than node clocks differ; no client times out sooner.
LEAST_PATIENCE = timedelta(seconds=2)


class Verdict(StrEnum):
    """What to do with a presented refresh token; the first three issue tokens."""

    ROTATED = "rotated"
    REPLAYED = "replayed"
    CONCURRENT = "concurrent"
    REUSED = "refresh_reused"
    ELSEWHERE = "refresh_elsewhere"
    LATE = "unavailable"
    FORGED = "forged"
    REVOKED = "session_revoked"
    EXPIRED = "session_expired"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """Tolerances of the rotation.

    `leeway`: how long after a rotation the previous token is accepted, for tabs that race with one token; also the
    length of a moment, and how long a request may have waited and still be judged a theft. `most_replays`: at how
    many moments one token may be presented again. `elsewhere_ends`: whether a token that is presented again from
    another device or country ends its session.
    """

    leeway: timedelta
    most_replays: int = MOST_REPLAYS
    elsewhere_ends: bool = False

    @property
    def patience(self) -> timedelta:
        """How long a request may have waited and still be judged a theft."""
        return max(self.leeway, LEAST_PATIENCE)


def judge(
    *,
    generation: int,
    nonce_matches: bool,
    session: Session,
    now: datetime,
    policy: RotationPolicy,
    elsewhere: bool = False,
    waited: timedelta = timedelta(0),
) -> Verdict:
    """Return the verdict on a token of `generation` whose tag has been verified.

    `elsewhere`: it is presented from another device or country than the last rotation.
    `waited`: how long ago the request may have arrived.

    A revoked or expired session takes precedence, so an old token presented after a logout is refused without a
    theft alarm. `FORGED`: the token has a valid tag but contradicts the database; the signing secret has leaked,
    or the database was rolled back. `LATE`: it would be theft, but may have been the current token when it was
    sent. Its client has given up, or will repeat it and be judged then; no tokens are issued.
    """
    if session.revoked_at is not None:
        return Verdict.REVOKED
    if not session.is_live(now):
        return Verdict.EXPIRED
    if not nonce_matches or generation > session.generation:
        return Verdict.FORGED
    if generation == session.generation:
        return Verdict.ROTATED
    verdict = _judge_used(generation, session, now, policy)
    if elsewhere and policy.elsewhere_ends and verdict is not Verdict.REUSED:
        verdict = Verdict.ELSEWHERE
    if verdict in {Verdict.REUSED, Verdict.ELSEWHERE} and _is_late(session, now, waited, policy):
        return Verdict.LATE
    return verdict


def begins_moment(session: Session, now: datetime, policy: RotationPolicy) -> bool:
    """Whether the previous token is presented again at a new moment, which counts as a replay.

    A moment lasts `leeway` from its first request, however many follow, so it cannot be extended. The first moment
    begins with the rotation and does not count.
    """
    if now - session.rotated_at <= policy.leeway:
        return False
    return session.replayed_at is None or now - session.replayed_at > policy.leeway


def _judge_used(generation: int, session: Session, now: datetime, policy: RotationPolicy) -> Verdict:
    """Return the verdict on a token that has already been rotated."""
    if generation < session.generation - 1:
        return Verdict.REUSED
    is_new_moment = begins_moment(session, now, policy)
    if session.confirmed:
        # For example, the first of six concurrent requests was answered, and its client already used the new
        # token.
        return Verdict.REUSED if is_new_moment else Verdict.CONCURRENT
    if is_new_moment and session.replays >= policy.most_replays:
        return Verdict.REUSED
    return Verdict.REPLAYED


def _is_late(session: Session, now: datetime, waited: timedelta, policy: RotationPolicy) -> bool:
    """Whether the request waited too long, or arrived well before the last rotation.

    A rotation in the future, by the clock of another node, is ignored.
    """
    return waited > policy.patience or now - waited + LEAST_PATIENCE < session.rotated_at <= now
