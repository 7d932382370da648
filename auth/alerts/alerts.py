"""Alerts: notify users of suspicious logins on their other devices and by mail, and let them end such a login.

"This wasn't me" is an event on a live device, or the link in the mail. The link leads to a page that sends a POST
after confirmation, so programs that fetch every link of a mail end no session (RFC 9110, section 9.2.1).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from auth.core.errors import Forbidden, InvalidToken, NotFound, Unavailable
from auth.core.events import Publisher, SessionUpdated
from auth.core.models import (
    Actor,
    Client,
    ClientKind,
    Delivery,
    Device,
    Principal,
    RevocationReason,
    Session,
    Sighting,
    User,
)
from auth.core.text import email_key
from auth.notifications.mail_contents import NewLogin, RefreshElsewhere
from auth.notifications.undo_links import LINK_LIFE
from auth.platform.rate_limits import LocalWindows
from auth.services import Operation, Services
from auth.sessions.risk import (
    IMPOSSIBLE_TRAVEL,
    RAPID_REFRESH,
    RAPID_REFRESHES,
    RAPID_SECONDS,
    REFRESH_ELSEWHERE,
    RISKS,
    is_impossible,
    is_other_kind,
    news_of,
    pair_of,
)
from auth.sessions.sessions import Sessions
from auth.sessions.types import RefreshCaller, Revoked
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.sessions.alerts import SessionAlerts
from auth.stores.sessions.store import SessionStore

log = structlog.get_logger()

STALE_LINK = "This link is no longer valid."
# A node counts the refreshes of this many sessions; evicting one can only miss a `rapid_refresh`.
MAX_COUNTED_SESSIONS = 20_000


class Alerts(Operation):
    """Detects suspicious logins and refreshes. Implements `auth.sessions.types.Risks`; blocks nothing."""

    def __init__(
        self, services: Services, *, store: SessionStore, alerts: SessionAlerts, tokens: OneTimeTokens
    ) -> None:
        super().__init__(services)
        self._store = store
        self._alerts = alerts
        self._tokens = tokens
        self._counted = services.metrics.risks
        self._failed = services.metrics.jobs.labels("alert", "failed")
        services.metrics.begin(self._counted, *RISKS)
        self._refreshes = LocalWindows(MAX_COUNTED_SESSIONS)

    async def judge_login(self, user: User, session: Session, *, client: Client) -> tuple[str, ...]:
        """Return the alerts for the user's other devices about a new login, and queue the mail."""
        earlier = await self._store.sightings(session)
        if earlier:
            await self._judge_travel(earlier[0], session, session.logged_in_at, client)
        news = news_of(user, session, earlier)
        if news:
            with self._best_effort(session):
                await self._alerts.add(session.session_id, news, user_id=user.user_id, now=session.logged_in_at)
            await self._mail_login(user, session, news)
        for kind in news:
            self._counted.labels(kind).inc()
        return news

    async def judge_refresh(self, before: Session, after: Session, presenter: RefreshCaller) -> tuple[str, ...]:
        """Flag a session that moved faster than a person can, or is refreshed more often than a client does.

        Alerts the user to such a move, or if a different kind of client continues the session: whoever rotates
        first may be the attacker. Plausible travel raises no alert, because a session moves with its device. Each
        node counts refreshes separately. Accesses no store unless there is something to flag.
        """
        now = after.rotated_at
        await self._judge_pace(before, after, presenter.client)
        moved = before.ip != after.ip and await self._judge_travel(
            Sighting(before.device, before.location, before.last_seen_at), after, now, presenter.client
        )
        if not moved and not is_other_kind(before.rotated_by, presenter.kind):
            return ()
        try:
            return await self._report_elsewhere(before, presenter, now)
        except Unavailable:
            # The token has been rotated, so its client must get the answer.
            log.exception("refresh_not_told", session_id=after.session_id)
            return ()

    async def judge_reuse(self, session: Session, presenter: RefreshCaller, *, now: datetime) -> tuple[str, ...]:
        """Alert the user to a token presented again from elsewhere, once a day for each pair of clients."""
        return await self._report_elsewhere(session, presenter, now)

    async def _report_elsewhere(self, before: Session, presenter: RefreshCaller, now: datetime) -> tuple[str, ...]:
        pair = pair_of(before, presenter.kind, presenter.location)
        if not await self._store.note_told(before.session_id, pair, user_id=before.user_id, now=now):
            return ()
        await self._alerts.add(before.session_id, (REFRESH_ELSEWHERE,), user_id=before.user_id, now=now)
        await self._flag(REFRESH_ELSEWHERE, before, now, presenter.client, {"clients": pair})
        user = await self._users.by_id(before.user_id)
        if user is not None:
            await self._mail_elsewhere(user, before, presenter, now)
        return (REFRESH_ELSEWHERE,)

    async def _judge_pace(self, before: Session, after: Session, client: Client) -> None:
        now = after.rotated_at
        if (now - before.rotated_at).total_seconds() > RAPID_SECONDS:
            return
        count = self._refreshes.add(after.session_id, RAPID_SECONDS, now=now.timestamp())
        # Once per window, so that many refreshes do not write many events.
        if count == RAPID_REFRESHES + 1:
            await self._flag(RAPID_REFRESH, after, now, client, {"refreshes": str(count)})

    async def _judge_travel(self, before: Sighting, session: Session, at: datetime, client: Client) -> bool:
        if not is_impossible(before, Sighting(session.device, session.location, at)):
            return False
        assert before.location is not None
        assert session.location is not None
        details = {
            "from": before.location.country or "",
            "to": session.location.country or "",
            "minutes": str(round((at - before.at) / timedelta(minutes=1))),
        }
        await self._flag(IMPOSSIBLE_TRAVEL, session, at, client, details)
        return True

    async def _flag(
        self, kind: str, session: Session, at: datetime, client: Client, details: dict[str, str]
    ) -> None:
        self._counted.labels(kind).inc()
        await self._audit.record(
            kind, user_id=session.user_id, session_id=session.session_id, client=client, details=details, now=at
        )

    async def _mail_login(self, user: User, session: Session, news: tuple[str, ...]) -> None:
        # The session already exists; failing its login would not notify the user either.
        with self._best_effort(session):
            token = await self._issue_link(user, session, session.logged_in_at)
            content = NewLogin(
                device=session.device,
                ip=session.ip,
                at=session.logged_in_at,
                news=news,
                token=token,
                valid_for=LINK_LIFE,
            )
            await self._mailer.send(user, content)

    async def _mail_elsewhere(self, user: User, before: Session, presenter: RefreshCaller, now: datetime) -> None:
        with self._best_effort(before):
            token = await self._issue_link(user, before, now)
            content = RefreshElsewhere(
                at=now,
                device=_last_client(before),
                ip=before.ip,
                logged_in_at=before.logged_in_at,
                other_device=presenter.kind,
                other_ip=presenter.client.ip,
                token=token,
                valid_for=LINK_LIFE,
            )
            await self._mailer.send(user, content)

    async def _issue_link(self, user: User, session: Session, now: datetime) -> str:
        return await self._tokens.issue(
            Purpose.NOT_ME,
            user_id=user.user_id,
            email_key=email_key(user.email) or "",
            now=now,
            expires_at=now + LINK_LIFE,
            remove_at=now + LINK_LIFE,
            data={"sessionId": session.session_id},
        )

    @contextlib.contextmanager
    def _best_effort(self, session: Session) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            self._failed.inc()
            log.exception("alert_not_completed", user_id=session.user_id, session_id=session.session_id)


class Dismissals(Operation):
    """Dismisses alerts for users who recognise the login: "it was me"."""

    def __init__(self, services: Services, *, alerts: SessionAlerts, publisher: Publisher) -> None:
        super().__init__(services)
        self._alerts = alerts
        self._publisher = publisher

    async def dismiss(self, principal: Principal, session_id: str, *, client: Client) -> None:
        """Dismiss the alerts about a session on every device of its user; no error if there are none.

        Raises `NotFound` if the session is not live, or `Forbidden` for the principal's own: whoever logged in
        with a stolen password must not answer for the owner.
        """
        if session_id == principal.session_id:
            raise Forbidden("Only another device can dismiss alerts about this one.")
        before = await self._alerts.clear(session_id, user_id=principal.user_id, now=self._clock())
        if before is None:
            raise NotFound("There is no such session.")
        if not before.alerts:
            return
        await self._audit.record(
            "alert_dismissed",
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"device": before.device.name, "alerts": " ".join(alert.kind for alert in before.alerts)},
        )
        await self._publisher.publish([SessionUpdated(replace(before, alerts=()))])


def _last_client(session: Session) -> Device | ClientKind:
    """The client that used a session last: as its device is named in the list, unless it is of another kind."""
    kind, device = session.rotated_by, session.device
    is_same = kind is None or (kind.browser, kind.os) == (device.browser, device.os)
    return device if kind is None or is_same else kind


@dataclass(frozen=True, slots=True)
class ReportedLogin:
    """The login that an alert mail is about, and whether it has not ended yet."""

    session: Session
    live: bool


class NotMe(Operation):
    """Ends sessions that their user reports with "this wasn't me"."""

    def __init__(
        self, services: Services, *, sessions: Sessions, store: SessionStore, tokens: OneTimeTokens
    ) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._store = store
        self._tokens = tokens

    async def login_of(self, token: str) -> ReportedLogin:
        """The login that a mailed link is about; changes nothing.

        Raises `InvalidToken` for an expired or unknown token, or if the session is not stored any more.
        """
        now = self._clock()
        found = await self._tokens.find(token, Purpose.NOT_ME, now=now, also_used=True)
        if found is None:
            raise InvalidToken(STALE_LINK)
        session = await self._store.get(found.data.get("sessionId") or "", user_id=found.user_id)
        if session is None:
            raise InvalidToken(STALE_LINK)
        return ReportedLogin(session, session.is_live(now))

    async def by_link(self, token: str, *, client: Client) -> Revoked:
        """End the session that a mailed link is about; no error if it has already ended or the link was used.

        The link ends only that session and gives no access. Raises `InvalidToken` for an expired or unknown token.
        """
        found = await self._tokens.consume(token, Purpose.NOT_ME, now=self._clock())
        session_id = found.data.get("sessionId") if found else None
        if found is None or session_id is None:
            raise InvalidToken(STALE_LINK)
        revoked = await self._sessions.end_one(
            found.user_id, session_id, reason=RevocationReason.REVOKED, by=Actor("user"), client=client
        )
        if found.fresh:
            await self._record(found.user_id, session_id, "mail", client)
        return revoked

    async def by_device(self, principal: Principal, session_id: str, *, client: Client) -> Delivery:
        """End a session of the principal's user from another device. Raises `NotFound` if it is not live."""
        delivery = await self._sessions.revoke(principal, session_id, client=client)
        await self._record(principal.user_id, session_id, "device", client)
        return delivery

    async def _record(self, user_id: str, session_id: str, way: str, client: Client) -> None:
        await self._audit.record(
            "login_disowned", user_id=user_id, session_id=session_id, client=client, details={"way": way}
        )
