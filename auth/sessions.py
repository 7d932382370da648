"""What a user does with sessions: begin one, refresh it, see them all, end them.

The one place where these rules live; HTTP routes and socket handlers both call it.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from auth.clock import Clock
from auth.entry import Door
from auth.errors import InvalidToken, NotFound, RefreshReused, SessionExpired, SessionRevoked, Unavailable
from auth.events import (
    Fact,
    PresenceReader,
    Publisher,
    SecurityAlert,
    SessionCreated,
    SessionEnded,
    SessionUpdated,
)
from auth.metrics import Metrics
from auth.models import (
    SYSTEM,
    Actor,
    Client,
    Delivery,
    IssuedTokens,
    Principal,
    RevocationReason,
    Session,
    SessionsToEnd,
    TokenDelivery,
    User,
)
from auth.recent import Recent
from auth.rotation import Verdict, judge
from auth.session_terms import (
    Audit,
    DeviceReader,
    LocationReader,
    Refreshed,
    RevocationList,
    Revoked,
    Risks,
    SessionList,
    SessionRules,
    StartedSession,
    TheftNotice,
)
from auth.stores.sessions import Sessions as SessionStore
from auth.tokens import AccessTokens, RefreshToken, RefreshTokens, hash_nonce

log = structlog.get_logger()

# A node remembers this many confirmed generations and recently seen sessions; forgetting one costs a write.
REMEMBERED = 50_000
SEEN_EVERY = timedelta(seconds=60)


class Sessions:
    """Operations on sessions."""

    def __init__(
        self,
        *,
        store: SessionStore,
        entry: Door,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        revocations: RevocationList,
        publisher: Publisher,
        presence: PresenceReader,
        audit: Audit,
        devices: DeviceReader,
        locations: LocationReader,
        theft_notice: TheftNotice,
        risks: Risks,
        rules: SessionRules,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._entry = entry
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._revocations = revocations
        self._publisher = publisher
        self._presence = presence
        self._audit = audit
        self._devices = devices
        self._locations = locations
        self._theft_notice = theft_notice
        self._risks = risks
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._confirmed: Recent[str, int] = Recent(REMEMBERED)
        self._seen: Recent[str, float] = Recent(REMEMBERED)

    async def start(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> StartedSession:
        """Begin a session for a user who has just proved who they are.

        Raises `AccountLocked`, `Conflict`, `SessionLimitReached` or `Unavailable`.
        """
        now = self._clock()
        token = RefreshToken(secrets.token_hex(16), 0, secrets.token_bytes(16))
        session = Session(
            session_id=token.session_id,
            user_id=user.user_id,
            nonce_hash=hash_nonce(token.nonce),
            generation=0,
            confirmed=False,
            delivery=delivery,
            roles=user.roles,
            roles_version=user.roles_version,
            amr=tuple(amr),
            device=self._devices.read(client, name=device_name),
            user_agent=client.user_agent[:512],
            ip=client.ip,
            location=self._locations.locate(client.ip),
            logged_in_at=now,
            last_seen_at=now,
            rotated_at=now,
            expires_at=now + min(self._rules.idle_life, self._rules.whole_life),
            ends_at=now + self._rules.whole_life,
        )
        entered = await self._entry.enter(session, credentials_version=user.credentials_version)
        session = entered.session
        facts: list[Fact] = [SessionCreated(session)]
        news = await self._risks.judge_login(user, session, client=client)
        facts += [SecurityAlert(kind, session, now) for kind in news]
        await self._publisher.publish(facts)
        for session_id in entered.surplus:
            await self.end(session_id, user.user_id, reason=RevocationReason.REVOKED, by=SYSTEM, client=client)
        return StartedSession(session, self._issue(session, token, now))

    async def refresh(self, refresh_token: str, *, client: Client) -> Refreshed:
        """Trade a refresh token for the next pair (docs/sessions.md, the table).

        Raises `InvalidToken`, `SessionRevoked`, `SessionExpired`, `RefreshReused` or `Unavailable`. A caller
        that got `Unavailable`, or no answer at all, may repeat the call with the same token.
        """
        try:
            refreshed = await self._refresh(self._refresh_tokens.parse(refresh_token), client)
        except (InvalidToken, SessionRevoked, SessionExpired, RefreshReused, Unavailable) as refusal:
            self._metrics.refreshes.labels(refusal.code).inc()
            raise
        self._metrics.refreshes.labels(refreshed.outcome.value).inc()
        return refreshed

    async def _refresh(self, token: RefreshToken, client: Client) -> Refreshed:
        location = self._locations.locate(client.ip)
        now = self._clock()
        rotated = await self._store.rotate(
            token.session_id,
            nonce_hash=token.nonce_hash,
            from_generation=token.generation,
            client=client,
            location=location,
            now=now,
            idle_life=self._rules.idle_life,
        )
        if rotated is None:
            return await self._refresh_again(token, client)
        before, session = rotated.before, rotated.after
        if before.ip != session.ip:
            await self._publisher.publish([SessionUpdated(session)])
        await self._risks.judge_refresh(before, session, client=client)
        return Refreshed(session, self._issue(session, token.successor(), now), Verdict.ROTATED)

    async def _refresh_again(self, token: RefreshToken, client: Client) -> Refreshed:
        """The token was not of the current generation when we tried: judge what it was."""
        now = self._clock()
        session = await self._store.get(token.session_id)
        if session is None:
            raise SessionExpired
        verdict = judge(
            generation=token.generation,
            nonce_matches=secrets.compare_digest(session.nonce_hash, token.nonce_hash),
            session=session,
            now=now,
            policy=self._rules.rotation,
        )
        if verdict in {Verdict.REPLAYED, Verdict.CONCURRENT}:
            await self._record(f"refresh_{verdict.value}", session, client, now)
            return Refreshed(session, self._issue(session, token.successor(), now), verdict)
        if verdict is Verdict.REVOKED:
            raise SessionRevoked
        if verdict is Verdict.EXPIRED:
            raise SessionExpired
        if verdict is Verdict.FORGED:
            await self._record("refresh_forged", session, client, now)
            if await self._end_reused(session, client):
                await self._publisher.publish([SecurityAlert("refresh_reused", session, now)])
            raise InvalidToken
        if verdict is Verdict.REUSED:
            await self._record("refresh_reused", session, client, now)
            await self._end_stolen(session, client, now)
            raise RefreshReused
        # ROTATED: the clock or the store moved between the update and the read. The client may repeat.
        raise Unavailable

    async def authenticate(self, access_token: str, *, ask: bool = True, confirm: bool = True) -> Principal:
        """Who acts with this access token, at once refused after a revocation.

        `ask=False` for a caller that hears of revocations and acts on them by itself; `confirm=False` for a token
        that its client has not received yet, or that is to be confirmed later. Raises `InvalidToken`,
        `TokenExpired`, `SessionRevoked` or `Unavailable`.
        """
        principal = await self._access_tokens.verify(access_token, now=self._clock())
        if ask and await self._is_revoked(principal.session_id):
            raise SessionRevoked
        if confirm:
            await self.confirm(principal)
        return principal

    async def verify(self, access_token: str) -> Principal:
        """Who the token speaks for, not asking whether its session was revoked since."""
        return await self._access_tokens.verify(access_token, now=self._clock())

    async def confirm(self, principal: Principal) -> None:
        """Note that the principal's token pair is in use, and that its device was seen.

        Best effort: with MongoDB down the next use confirms.
        """
        now = self._clock()
        first_use = self._confirmed.get(principal.session_id) != principal.generation
        seen = self._seen.get(principal.session_id)
        try:
            if first_use:
                await self._store.confirm(principal.session_id, principal.generation, now=now)
                self._confirmed.put(principal.session_id, principal.generation)
            elif seen is None or now.timestamp() - seen > SEEN_EVERY.total_seconds():
                await self._store.touch(principal.session_id, now=now)
            else:
                return
            self._seen.put(principal.session_id, now.timestamp())
        except Unavailable:
            log.warning("generation_not_confirmed", session_id=principal.session_id)

    async def seen(self, principal: Principal) -> None:
        """Note that the principal's device was seen just now. Best effort."""
        try:
            await self._store.touch(principal.session_id, now=self._clock())
        except Unavailable:
            log.warning("device_not_seen", session_id=principal.session_id)

    def refresh_token_session(self, refresh_token: str) -> str:
        """The session of a genuine refresh token, good or not; touches no store. Raises `InvalidToken`."""
        return self._refresh_tokens.parse(refresh_token).session_id

    async def list(self, principal: Principal) -> SessionList:
        """The principal's live sessions, last seen first."""
        return await self.of_user(principal.user_id)

    async def of_user(self, user_id: str) -> SessionList:
        """A user's live sessions, last seen first.

        The version is read before the sessions: a change in between is in the list already and is pushed
        once more, rather than missed.
        """
        online, version = await self._presence.online(user_id)
        sessions = await self._store.live_of_user(user_id, now=self._clock())
        return SessionList(tuple(sessions), online, version)

    async def revoke(self, principal: Principal, session_id: str, *, client: Client) -> Delivery:
        """End one session of the principal's user. Raises `NotFound` for anyone else's, or none."""
        by = Actor("user", principal.session_id)
        delivery = await self.end(
            session_id, principal.user_id, reason=RevocationReason.REVOKED, by=by, client=client, wait=True
        )
        if delivery is None:
            raise NotFound("There is no such session.")
        return delivery

    async def end(
        self,
        session_id: str,
        user_id: str,
        *,
        reason: RevocationReason,
        by: Actor,
        client: Client,
        wait: bool = False,
    ) -> Delivery | None:
        """End one session of a user; None when it is not live. With `wait`, tell what became of it."""
        now = self._clock()
        ended = await self._store.revoke(session_id, user_id=user_id, reason=reason, by=by, ip=client.ip, now=now)
        return None if ended is None else await self._tell_ended([ended], client, now, wait=wait)

    async def revoke_others(self, principal: Principal, *, client: Client) -> Revoked:
        """End every session of the user but the principal's own."""
        own, reason = principal.session_id, RevocationReason.REVOKED_OTHERS
        return await self._revoke_all(
            principal.user_id, keep=own, reason=reason, by=Actor("user", own), client=client
        )

    async def log_out_everywhere(self, principal: Principal, *, client: Client) -> Revoked:
        """End every session of the user, the principal's own too."""
        by = Actor("user", principal.session_id)
        return await self.end_all(principal.user_id, reason=RevocationReason.LOGOUT_ALL, by=by, client=client)

    async def end_all(self, user_id: str, *, reason: RevocationReason, by: Actor, client: Client) -> Revoked:
        """End every session of a user, for a reason other than their asking."""
        return await self._revoke_all(user_id, keep=None, reason=reason, by=by, client=client)

    async def end_those(
        self, user_id: str, those: SessionsToEnd, *, only_begun_before: bool, client: Client
    ) -> Revoked:
        """End the sessions of a user that a change of the account ends.

        `only_begun_before`: long after the change, so that what was begun since stays, and nobody waits to hear
        what became of them.
        """
        return await self._revoke_all(
            user_id,
            keep=those.keep,
            begun_by=those.at if only_begun_before else None,
            reason=those.reason,
            by=those.by,
            client=client,
            wait=not only_begun_before,
        )

    async def end_one(
        self, user_id: str, session_id: str, *, reason: RevocationReason, by: Actor, client: Client
    ) -> Revoked:
        """End one session of a user, for a reason other than their asking here; none when it is gone already."""
        delivery = await self.end(session_id, user_id, reason=reason, by=by, client=client, wait=True)
        return Revoked() if delivery is None else Revoked(1, delivery)

    async def log_out(self, principal: Principal, *, client: Client) -> None:
        """End the principal's own session; fine when it is gone already."""
        await self._log_out(principal.session_id, principal.user_id, client)

    async def log_out_by_refresh_token(self, refresh_token: str, *, client: Client) -> None:
        """End the session of a genuine refresh token of any generation; fine when it is gone already.

        Raises `InvalidToken` for a token that we never minted.
        """
        token = self._refresh_tokens.parse(refresh_token)
        session = await self._store.get(token.session_id)
        if session is None:
            return
        if not secrets.compare_digest(session.nonce_hash, token.nonce_hash):
            raise InvalidToken
        await self._log_out(session.session_id, session.user_id, client)

    async def _log_out(self, session_id: str, user_id: str, client: Client) -> None:
        by = Actor("user", session_id)
        await self.end(session_id, user_id, reason=RevocationReason.LOGOUT, by=by, client=client)

    async def _revoke_all(
        self,
        user_id: str,
        *,
        keep: str | None,
        begun_by: datetime | None = None,
        reason: RevocationReason,
        by: Actor,
        client: Client,
        wait: bool = True,
    ) -> Revoked:
        now = self._clock()
        ended = await self._store.revoke_all(
            user_id,
            revocation_id=secrets.token_hex(8),
            keep=keep,
            begun_by=begun_by,
            reason=reason,
            by=by,
            ip=client.ip,
            now=now,
        )
        return Revoked(len(ended), await self._tell_ended(ended, client, now, wait=wait))

    async def _end_reused(self, session: Session, client: Client) -> bool:
        reason = RevocationReason.REFRESH_REUSED
        ended = await self.end(session.session_id, session.user_id, reason=reason, by=SYSTEM, client=client)
        return ended is not None

    async def _end_stolen(self, session: Session, client: Client, now: datetime) -> None:
        """A token was used twice: one of its two holders is a thief, and we cannot tell which."""
        if self._rules.theft_ends_all:
            reason = RevocationReason.REFRESH_REUSED
            revoked = await self._revoke_all(
                session.user_id, keep=None, reason=reason, by=SYSTEM, client=client, wait=False
            )
            told_first = bool(revoked.count)
        else:
            told_first = await self._end_reused(session, client)
        if told_first:
            await self._publisher.publish([SecurityAlert("refresh_reused", session, now)])
            await self._theft_notice.refresh_reused(session, now=now)

    async def _tell_ended(
        self, ended: Sequence[Session], client: Client, now: datetime, *, wait: bool
    ) -> Delivery:
        for session in ended:
            await self._record("session_revoked", session, client, now)
        facts = [
            SessionEnded(session, session.revoked_reason, session.revoked_by, session.revoked_at)
            for session in ended
            if session.revoked_reason and session.revoked_by and session.revoked_at
        ]
        return await self._publisher.publish(facts, wait=wait)

    async def _record(self, kind: str, session: Session, client: Client, now: datetime) -> None:
        details = {"generation": str(session.generation)}
        if session.revoked_reason is not None and session.revoked_by is not None:
            details |= {"reason": session.revoked_reason.value, "by": session.revoked_by.kind}
            details |= {"bySession": session.revoked_by.session_id or ""}
        # The trail of a user is theirs to read: where an administrator sits stands in the administrator's own.
        by_admin = session.revoked_by is not None and session.revoked_by.kind == "admin"
        await self._audit.record(
            kind,
            user_id=session.user_id,
            session_id=session.session_id,
            client=None if by_admin else client,
            details=details,
            now=now,
        )

    async def _is_revoked(self, session_id: str) -> bool:
        try:
            return await self._revocations.is_revoked(session_id)
        except Unavailable:
            # Redis cannot tell; the truth can, more slowly.
            session = await self._store.get(session_id)
            return session is None or session.revoked_at is not None

    def _issue(self, session: Session, token: RefreshToken, now: datetime) -> IssuedTokens:
        access_token, access_expires_at = self._access_tokens.mint(session, now=now)
        return IssuedTokens(access_token, access_expires_at, self._refresh_tokens.mint(token), session.expires_at)
