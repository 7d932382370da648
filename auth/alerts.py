"""Alerts: a login that the user may not have made is told on their other devices and by mail, and ends at a tap.

"This wasn't me" is an event on a live device, or the link in the mail. The link leads to a page, which asks with
a POST: programs that fetch every link of a mail end nothing (RFC 9110, section 9.2.1).
"""

from datetime import datetime, timedelta
from typing import Protocol

import structlog

from auth.accounts import email_key
from auth.clock import Clock
from auth.errors import InvalidToken, Unavailable
from auth.mail.mailer import Mailer
from auth.metrics import Metrics
from auth.models import Actor, Client, Delivery, Principal, RevocationReason, Session, Sighting, User
from auth.rate_limits import LocalWindows
from auth.risk import (
    IMPOSSIBLE_TRAVEL,
    RAPID_REFRESH,
    RAPID_REFRESHES,
    RAPID_SECONDS,
    is_impossible,
    news_of,
)
from auth.session_terms import Audit, Revoked
from auth.sessions import Sessions
from auth.stores.one_time_tokens import OneTimeTokens, Purpose

log = structlog.get_logger()

# How long "this wasn't me" can be answered to a mail.
LINK_LIFE = timedelta(days=7)
# A node counts the refreshes of this many sessions; forgetting one costs a flag.
COUNTED_SESSIONS = 20_000


class Sightings(Protocol):
    """Where else a user was seen."""

    async def sightings(self, session: Session) -> list[Sighting]:
        """What their other kept sessions tell, last seen first."""


class Alerts:
    """Judges logins and refreshes. Implements `auth.sessions.Risks`; nobody is kept out by it."""

    def __init__(
        self, *, store: Sightings, tokens: OneTimeTokens, mailer: Mailer, audit: Audit, metrics: Metrics
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._mailer = mailer
        self._audit = audit
        self._metrics = metrics
        self._refreshes = LocalWindows(COUNTED_SESSIONS)

    async def judge_login(self, user: User, session: Session, *, client: Client) -> tuple[str, ...]:
        """What of a login just made is to be told the user's other devices; the mail is on its way by then."""
        earlier = await self._store.sightings(session)
        if earlier:
            await self._judge_travel(earlier[0], session, session.logged_in_at, client)
        news = news_of(user, session, earlier)
        if news:
            await self._mail(user, session, news)
        for kind in news:
            self._metrics.risks.labels(kind).inc()
        return news

    async def judge_refresh(self, before: Session, after: Session, *, client: Client) -> None:
        """Flag a session that moved faster than a person can, or is refreshed more often than a client does.

        Refreshes are counted by each node for itself. Touches no store unless there is something to flag.
        """
        now = after.rotated_at
        if before.ip != after.ip:
            await self._judge_travel(
                Sighting(before.device, before.location, before.last_seen_at), after, now, client
            )
        if (now - before.rotated_at).total_seconds() > RAPID_SECONDS:
            return
        count = self._refreshes.add(after.session_id, RAPID_SECONDS, now=now.timestamp())
        # Once in a window: whoever does it a thousand times writes no thousand events.
        if count == RAPID_REFRESHES + 1:
            await self._flag(RAPID_REFRESH, after, now, client, {"refreshes": str(count)})

    async def _judge_travel(self, before: Sighting, session: Session, at: datetime, client: Client) -> None:
        if is_impossible(before, Sighting(session.device, session.location, at)):
            assert before.location is not None
            assert session.location is not None
            details = {
                "from": before.location.country or "",
                "to": session.location.country or "",
                "minutes": str(round((at - before.at) / timedelta(minutes=1))),
            }
            await self._flag(IMPOSSIBLE_TRAVEL, session, at, client, details)

    async def _flag(
        self, kind: str, session: Session, at: datetime, client: Client, details: dict[str, str]
    ) -> None:
        self._metrics.risks.labels(kind).inc()
        await self._audit.record(
            kind,
            user_id=session.user_id,
            session_id=session.session_id,
            client=client,
            details=details,
            now=at,
        )

    async def _mail(self, user: User, session: Session, news: tuple[str, ...]) -> None:
        now = session.logged_in_at
        try:
            token = await self._tokens.issue(
                Purpose.NOT_ME,
                user_id=user.user_id,
                email_key=email_key(user.email) or "",
                now=now,
                expires_at=now + LINK_LIFE,
                remove_at=now + LINK_LIFE,
                data={"sessionId": session.session_id},
            )
            await self._mailer.new_login(user, session=session, news=news, token=token, valid_for=LINK_LIFE)
        except Unavailable:
            # The session is there by now. To refuse its login would tell the user nothing either.
            self._metrics.jobs.labels("alert", "failed").inc()
            log.exception("login_not_mailed", user_id=user.user_id, session_id=session.session_id)


class NotMe:
    """Ends what its user says was not them."""

    def __init__(self, *, sessions: Sessions, tokens: OneTimeTokens, audit: Audit, clock: Clock) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._audit = audit
        self._clock = clock

    async def by_link(self, token: str, *, client: Client) -> Revoked:
        """End the session that a mailed link is about; fine when it is gone already, or the link was followed.

        The link ends that one session and opens nothing. Raises `InvalidToken` for any other token, or an old one.
        """
        found = await self._tokens.consume(token, Purpose.NOT_ME, now=self._clock())
        session_id = found.data.get("sessionId") if found else None
        if found is None or session_id is None:
            raise InvalidToken("This link is not good any more.")
        revoked = await self._sessions.end_one(
            found.user_id, session_id, reason=RevocationReason.REVOKED, by=Actor("user"), client=client
        )
        if found.fresh:
            await self._record(found.user_id, session_id, "mail", client)
        return revoked

    async def by_device(self, principal: Principal, session_id: str, *, client: Client) -> Delivery:
        """End a session of the principal's user from another device. Raises `NotFound` where there is none."""
        delivery = await self._sessions.revoke(principal, session_id, client=client)
        await self._record(principal.user_id, session_id, "device", client)
        return delivery

    async def _record(self, user_id: str, session_id: str, way: str, client: Client) -> None:
        await self._audit.record(
            "login_disowned",
            user_id=user_id,
            session_id=session_id,
            client=client,
            details={"way": way},
            now=self._clock(),
        )
