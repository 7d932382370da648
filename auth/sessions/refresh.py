"""Exchanges a refresh token for the next token pair, by the table in docs/sessions.md.

The current token is rotated in one round trip. Only for another token is the session read and the token judged
(auth/sessions/rotation.py).
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.errors import InvalidToken, RefreshReused, SessionExpired, SessionRevoked, Unavailable
from auth.core.events import Publisher, SecurityAlert, SessionUpdated
from auth.core.models import Client, IssuedTokens, Session
from auth.crypto.tokens import RefreshToken, RefreshTokens
from auth.platform.suspension import RequestCaller
from auth.services import Operation, Services
from auth.sessions.risk import is_elsewhere
from auth.sessions.rotation import Verdict, begins_moment, judge
from auth.sessions.types import RefreshCaller, Refreshed, Risks, SessionRules
from auth.stores.sessions.store import SessionStore

# Wait this long before deciding on theft, to detect a disconnected caller: an abandoned request is not a theft.
HANG_UP_SECONDS = 0.5
# How often a concurrently changing session is read before the client is asked to retry.
MAX_READS = 5
HELD_RETRY_SECONDS = 1.0

REISSUED = frozenset({Verdict.REPLAYED, Verdict.CONCURRENT})
# Labels of `vigil_refreshes_total`: how the tokens were issued, or why they were refused.
HANDED_OUT = (Verdict.ROTATED, *REISSUED)
REFUSALS = (InvalidToken, SessionRevoked, SessionExpired, RefreshReused, Unavailable)
THEFTS = frozenset({Verdict.REUSED, Verdict.ELSEWHERE})

Issue = Callable[[Session, RefreshToken, datetime], IssuedTokens]
Record = Callable[[str, Session, Client, datetime], Awaitable[None]]


class StolenSessionEnder(Protocol):
    """Ends the session of a stolen token, or every session of its user."""

    async def __call__(self, session: Session, *, client: Client, whole_user: bool) -> bool:
        """Return whether any session was still live."""


class Refreshing(Operation):
    """Exchanges refresh tokens. `issue` mints a token pair; `record` writes to the audit trail."""

    def __init__(
        self,
        services: Services,
        *,
        store: SessionStore,
        refresh_tokens: RefreshTokens,
        devices: Devices,
        locations: Locations,
        risks: Risks,
        publisher: Publisher,
        rules: SessionRules,
        issue: Issue,
        record: Record,
        end_stolen: StolenSessionEnder,
    ) -> None:
        super().__init__(services)
        self._store = store
        self._refresh_tokens = refresh_tokens
        self._devices = devices
        self._locations = locations
        self._risks = risks
        self._publisher = publisher
        self._rules = rules
        self._counter = services.metrics.refreshes
        services.metrics.begin(self._counter, *HANDED_OUT, *(refusal.code for refusal in REFUSALS))
        self._issue = issue
        self._record = record
        self._end_stolen = end_stolen

    async def refresh(self, refresh_token: str, *, client: Client, caller: RequestCaller | None) -> Refreshed:
        """See `auth.sessions.sessions.Sessions.refresh`."""
        try:
            token = self._refresh_tokens.parse(refresh_token)
            _reject_lost_caller(caller)
            refreshed = await self._refresh(token, client, caller)
        except REFUSALS as refusal:
            self._counter.labels(refusal.code).inc()
            raise
        self._counter.labels(refreshed.outcome.value).inc()
        return refreshed

    async def _refresh(self, token: RefreshToken, client: Client, caller: RequestCaller | None) -> Refreshed:
        presenter = RefreshCaller(client, self._devices.kind(client), self._locations.locate(client.ip))
        now = self._clock()
        rotated = await self._store.rotate(
            token.session_id,
            user_id=token.user_id,
            nonce_hash=token.nonce_hash,
            from_generation=token.generation,
            client=client,
            location=presenter.location,
            kind=presenter.kind,
            now=now,
            idle_life=self._rules.idle_life,
        )
        if rotated is None:
            return await self._refresh_stale(token, presenter, caller)
        before, session = rotated.before, rotated.after
        if before.ip != session.ip:
            await self._publisher.publish([SessionUpdated(session)])
        news = await self._risks.judge_refresh(before, session, presenter)
        if news:
            await self._publisher.publish([SecurityAlert(kind, session, now) for kind in news])
        return Refreshed(session, self._issue(session, token.successor(session.user_id), now), Verdict.ROTATED)

    async def _refresh_stale(
        self, token: RefreshToken, presenter: RefreshCaller, caller: RequestCaller | None
    ) -> Refreshed:
        """Judge a token that was not of the current generation when the rotation was attempted."""
        paused = timedelta(0)
        for _ in range(MAX_READS):
            now = self._clock()
            session = await self._store.get(token.session_id, user_id=token.user_id)
            if session is None:
                raise SessionExpired
            waited = caller.waited - paused if caller is not None else timedelta(0)
            verdict = self._judge(token, session, now, presenter, waited)
            if verdict in REISSUED:
                if begins_moment(session, now, self._rules.rotation) and not await self._store.count_replay(
                    session, now=now
                ):
                    continue
                return await self._reissue(token, session, verdict, presenter, now)
            if verdict in THEFTS and caller is not None and not paused:
                paused = timedelta(seconds=HANG_UP_SECONDS)
                await asyncio.sleep(HANG_UP_SECONDS)
                _reject_lost_caller(caller)
                continue
            await self._refuse(verdict, session, presenter.client, now)
        raise Unavailable

    def _judge(
        self,
        token: RefreshToken,
        session: Session,
        now: datetime,
        presenter: RefreshCaller,
        waited: timedelta,
    ) -> Verdict:
        return judge(
            generation=token.generation,
            nonce_matches=secrets.compare_digest(session.nonce_hash, token.nonce_hash),
            session=session,
            now=now,
            policy=self._rules.rotation,
            elsewhere=is_elsewhere(session, presenter.kind, presenter.location),
            waited=waited,
        )

    async def _reissue(
        self, token: RefreshToken, session: Session, verdict: Verdict, presenter: RefreshCaller, now: datetime
    ) -> Refreshed:
        await self._record(f"refresh_{verdict.value}", session, presenter.client, now)
        if is_elsewhere(session, presenter.kind, presenter.location):
            news = await self._risks.judge_reuse(session, presenter, now=now)
            await self._publisher.publish([SecurityAlert(kind, session, now) for kind in news])
        return Refreshed(session, self._issue(session, token.successor(session.user_id), now), verdict)

    async def _refuse(self, verdict: Verdict, session: Session, client: Client, now: datetime) -> None:
        """Apply the verdict and raise the matching error."""
        if verdict is Verdict.REVOKED:
            raise SessionRevoked
        if verdict is Verdict.EXPIRED:
            raise SessionExpired
        if verdict is Verdict.FORGED:
            await self._record("refresh_forged", session, client, now)
            if await self._end_stolen(session, client=client, whole_user=False):
                await self._publisher.publish([SecurityAlert("refresh_reused", session, now)])
            raise InvalidToken
        if verdict in THEFTS:
            await self._record(verdict.value, session, client, now)
            # A token was used twice: one of its two holders stole it, and we cannot tell which.
            whole_user = self._rules.theft_ends_all and verdict is Verdict.REUSED
            if await self._end_stolen(session, client=client, whole_user=whole_user):
                await self._publisher.publish([SecurityAlert("refresh_reused", session, now)])
                await self._mailer.refresh_reused(session, now=now)
            raise RefreshReused
        if verdict is Verdict.LATE:
            await self._record("refresh_late", session, client, now)
        # LATE, or ROTATED: the clock or the store changed between the update and the read. The client may retry.
        raise Unavailable(retry_after_seconds=HELD_RETRY_SECONDS)


def _reject_lost_caller(caller: RequestCaller | None) -> None:
    """Raise `Unavailable` if the caller has disconnected, or this node was suspended meanwhile."""
    if caller is not None and caller.is_lost:
        raise Unavailable(retry_after_seconds=HELD_RETRY_SECONDS)
