"""The refresh verdict: what a presented refresh token means. Pure; the table is in docs/sessions.md."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from auth.models import Session


class Verdict(StrEnum):
    """What to do with a presented refresh token; the first three hand out a token."""

    ROTATED = "rotated"
    REPLAYED = "replayed"
    CONCURRENT = "concurrent"
    REUSED = "refresh_reused"
    FORGED = "forged"
    REVOKED = "session_revoked"
    EXPIRED = "session_expired"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """`leeway`: how long after a rotation two tabs racing with one token are forgiven."""

    leeway: timedelta


def judge(
    *,
    generation: int,
    nonce_matches: bool,
    session: Session,
    now: datetime,
    policy: RotationPolicy,
) -> Verdict:
    """The verdict on a token of `generation` whose tag was already found genuine.

    A revoked or expired session answers that first, so that an old token shown after a logout is a
    refusal and not a theft alarm. `FORGED` means that the token carries our tag but contradicts the
    database: the signing secret has leaked, or the database was rolled back.
    """
    if session.revoked_at is not None:
        return Verdict.REVOKED
    if not session.is_live(now):
        return Verdict.EXPIRED
    if not nonce_matches or generation > session.generation:
        return Verdict.FORGED
    if generation == session.generation:
        return Verdict.ROTATED
    if generation < session.generation - 1:
        return Verdict.REUSED
    if not session.confirmed:
        return Verdict.REPLAYED
    if now - session.rotated_at <= policy.leeway:
        return Verdict.CONCURRENT
    return Verdict.REUSED
