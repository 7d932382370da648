"""Operations on sessions: start, refresh, authenticate, list, end.

Used by both HTTP routes and socket handlers.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.errors import InvalidToken, NotFound, SessionRevoked, Unavailable
from auth.core.events import (
    Fact,
    PresenceReader,
    Publisher,
    SecurityAlert,
    SessionCreated,
    SessionEnded,
)
from auth.core.lru_cache import LruCache
from auth.core.models import (
    SYSTEM,
    Actor,
    Client,
    Delivery,
    IssuedTokens,
    Principal,
    RevocationReason,
    Session,
    SessionAlert,
    SessionsToEnd,
    TokenDelivery,
    User,
)
from auth.core.tasks import Background
from auth.core.text import MAX_USER_AGENT
from auth.crypto.tokens import AccessTokens, RefreshToken, RefreshTokens, hash_nonce
from auth.platform.suspension import RequestCaller
from auth.services import Operation, Services
from auth.sessions.refresh import Refreshing
from auth.sessions.session_start import SessionStart
from auth.sessions.types import (
    Refreshed,
    RevocationList,
    Revoked,
    Risks,
    SessionList,
    SessionRules,
    StartedSession,
)
from auth.stores.sessions.store import SessionStore

log = structlog.get_logger()

# Size of the caches of confirmed generations and of recently seen sessions; an evicted entry costs one write.
CACHE_SIZE = 50_000
SEEN_INTERVAL = timedelta(seconds=60)


class Sessions(Operation):
    """Operations on sessions, from their start to their end."""

    def __init__(
        self,
        services: Services,
        *,
        store: SessionStore,
        session_start: SessionStart,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        revocations: RevocationList,
        publisher: Publisher,
        presence: PresenceReader,
        devices: Devices,
        locations: Locations,
        risks: Risks,
        rules: SessionRules,
    ) -> None:
        super().__init__(services)
        self._store = store
        self._session_start = session_start
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._revocations = revocations
        self._publisher = publisher
        self._presence = presence
        self._devices = devices
        self._locations = locations
        self._risks = risks
        self._rules = rules
        self._confirmed: LruCache[str, int] = LruCache(CACHE_SIZE)
        self._seen: LruCache[str, float] = LruCache(CACHE_SIZE)
        self._confirming = Background()
        self._refreshing = Refreshing(
            services,
            store=store,
            refresh_tokens=refresh_tokens,
            devices=devices,
            locations=locations,
            risks=risks,
            publisher=publisher,
            rules=rules,
            issue=self._issue,
            record=self._record,
            end_stolen=self._end_stolen,
        )

    async def start(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
        approved_by: str | None = None,
    ) -> StartedSession:
        """Start a session for a user who has just authenticated. `approved_by`: the session that approved it.

        Raises `AccountLocked`, `Conflict`, `SessionLimitReached` or `Unavailable`.
        """
        now = self._clock()
        token = RefreshToken(secrets.token_hex(16), 0, secrets.token_bytes(16), user.user_id)
        session = Session(
            session_id=token.session_id,
            user_id=user.user_id,
            nonce_hash=hash_nonce(token.nonce),
            generation=0,
            confirmed=False,
            delivery=delivery,
            roles=user.roles,
            roles_version=user.roles_version,
            rotated_by=self._devices.kind(client),
            amr=tuple(amr),
            device=self._devices.read(client, name=device_name),
            user_agent=client.user_agent[:MAX_USER_AGENT],
            ip=client.ip,
            location=self._locations.locate(client.ip),
            logged_in_at=now,
            last_seen_at=now,
            rotated_at=now,
            expires_at=now + min(self._rules.idle_life, self._rules.whole_life),
            ends_at=now + self._rules.whole_life,
            approved_by=approved_by,
        )
        entered = await self._session_start.enter(session, credentials_version=user.credentials_version)
        session = entered.session
        news = await self._risks.judge_login(user, session, client=client)
        session = replace(session, alerts=tuple(SessionAlert(kind, now) for kind in news))
        facts: list[Fact] = [SessionCreated(session), *(SecurityAlert(kind, session, now) for kind in news)]
        await self._publisher.publish(facts)
        for session_id in entered.surplus:
            await self.end(session_id, user.user_id, reason=RevocationReason.REVOKED, by=SYSTEM, client=client)
        return StartedSession(session, self._issue(session, token, now))

    async def refresh(
        self, refresh_token: str, *, client: Client, caller: RequestCaller | None = None
    ) -> Refreshed:
        """Exchange a refresh token for the next token pair (docs/sessions.md, the table).

        `caller`: how long the caller has waited, and whether it is still connected; None if no caller waits.
        Raises `InvalidToken`, `SessionRevoked`, `SessionExpired`, `RefreshReused` or `Unavailable`. After
        `Unavailable`, or without an answer, the call may be repeated with the same token.
        """
        return await self._refreshing.refresh(refresh_token, client=client, caller=caller)

    async def authenticate(self, access_token: str, *, ask: bool = True, confirm: bool = True) -> Principal:
        """Return the principal of an access token. Rejects revoked sessions immediately.

        `ask=False` skips the revocation check, for a caller that subscribes to revocations itself. `confirm=False`
        is for a token that its client has not received yet, or that is confirmed later. Raises `InvalidToken`,
        `TokenExpired`, `SessionRevoked` or `Unavailable`.
        """
        principal = await self._access_tokens.verify(access_token, now=self._clock())
        if ask and await self._is_revoked(principal):
            raise SessionRevoked
        if confirm:
            await self.confirm(principal)
        return principal

    async def verify(self, access_token: str) -> Principal:
        """Return the principal of an access token, without checking whether its session was revoked."""
        return await self._access_tokens.verify(access_token, now=self._clock())

    async def confirm(self, principal: Principal) -> None:
        """Record that the principal's token pair is in use and its device was seen.

        Best effort: while MongoDB is down, the next use confirms.
        """
        now = self._clock()
        first_use = self._confirmed.get(principal.session_id) != principal.generation
        seen = self._seen.get(principal.session_id)
        try:
            if first_use:
                await self._store.confirm(
                    principal.session_id, principal.generation, user_id=principal.user_id, now=now
                )
                self._confirmed.put(principal.session_id, principal.generation)
            elif seen is None or now.timestamp() - seen > SEEN_INTERVAL.total_seconds():
                await self._store.touch(principal.session_id, user_id=principal.user_id, now=now)
            else:
                return
            self._seen.put(principal.session_id, now.timestamp())
        except Unavailable:
            log.warning("generation_not_confirmed", session_id=principal.session_id)

    def confirm_soon(self, principal: Principal) -> None:
        """Confirm in the background."""
        self._confirming.spawn(self.confirm(principal))

    async def seen(self, principal: Principal) -> None:
        """Record that the principal's device was seen now. Best effort."""
        try:
            await self._store.touch(principal.session_id, user_id=principal.user_id, now=self._clock())
        except Unavailable:
            log.warning("device_not_seen", session_id=principal.session_id)

    def refresh_token_session(self, refresh_token: str) -> str:
        """Return the session id of an authentic refresh token, current or not; reads no store.

        Raises `InvalidToken`.
        """
        return self._refresh_tokens.parse(refresh_token).session_id

    async def list(self, principal: Principal) -> SessionList:
        """Return the live sessions of the principal's user, most recently seen first."""
        return await self.of_user(principal.user_id)

    async def of_user(self, user_id: str) -> SessionList:
        """Return a user's live sessions, most recently seen first.

        The version is read before the sessions, so a change in between is in the list and pushed again, never
        missed.
        """
        online, version = await self._presence.online(user_id)
        sessions = await self._store.live_of_user(user_id, now=self._clock())
        return SessionList(tuple(sessions), online, version)

    async def revoke(self, principal: Principal, session_id: str, *, client: Client) -> Delivery:
        """End one session of the principal's user. Raises `NotFound` for any other session."""
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
        """End one session of a user; None if it is not live. With `wait`, wait for the sockets' receipts."""
        now = self._clock()
        ended = await self._store.revoke(session_id, user_id=user_id, reason=reason, by=by, ip=client.ip, now=now)
        return None if ended is None else await self._announce_ended([ended], client, now, wait=wait)

    async def revoke_others(self, principal: Principal, *, client: Client) -> Revoked:
        """End every session of the user except the principal's own."""
        own, reason = principal.session_id, RevocationReason.REVOKED_OTHERS
        return await self._revoke_all(
            principal.user_id, keep=own, reason=reason, by=Actor("user", own), client=client
        )

    async def log_out_everywhere(self, principal: Principal, *, client: Client) -> Revoked:
        """End every session of the user, including the principal's own."""
        by = Actor("user", principal.session_id)
        return await self.end_all(principal.user_id, reason=RevocationReason.LOGOUT_ALL, by=by, client=client)

    async def end_all(self, user_id: str, *, reason: RevocationReason, by: Actor, client: Client) -> Revoked:
        """End every session of a user, for a reason other than the user's request."""
        return await self._revoke_all(user_id, keep=None, reason=reason, by=by, client=client)

    async def end_matching(
        self, user_id: str, those: SessionsToEnd, *, only_begun_before: bool, client: Client
    ) -> Revoked:
        """End the sessions of a user that an account change invalidates.

        `only_begun_before`: for a call some time after the change; keeps sessions started since, and does not wait
        for receipts.
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
        """End one session of a user, for a reason other than a request in this session; no error if it is gone."""
        delivery = await self.end(session_id, user_id, reason=reason, by=by, client=client, wait=True)
        return Revoked() if delivery is None else Revoked(1, delivery)

    async def log_out(self, principal: Principal, *, client: Client) -> None:
        """End the principal's own session; no error if it has already ended."""
        await self._log_out(principal.session_id, principal.user_id, client)

    async def log_out_by_refresh_token(self, refresh_token: str, *, client: Client) -> None:
        """End the session of an authentic refresh token of any generation; no error if it has already ended.

        Raises `InvalidToken` for a token that this server never issued.
        """
        token = self._refresh_tokens.parse(refresh_token)
        session = await self._store.get(token.session_id, user_id=token.user_id)
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
        return Revoked(len(ended), await self._announce_ended(ended, client, now, wait=wait))

    async def _end_stolen(self, session: Session, *, client: Client, whole_user: bool) -> bool:
        """See `refresh.StolenSessionEnder`."""
        reason = RevocationReason.REFRESH_REUSED
        if not whole_user:
            ended = await self.end(session.session_id, session.user_id, reason=reason, by=SYSTEM, client=client)
            return ended is not None
        revoked = await self._revoke_all(
            session.user_id, keep=None, reason=reason, by=SYSTEM, client=client, wait=False
        )
        return bool(revoked.count)

    async def _announce_ended(
        self, ended: Sequence[Session], client: Client, now: datetime, *, wait: bool
    ) -> Delivery:
        # Stored while the events are on their way, and before the answer.
        recorded = asyncio.gather(*(self._record("session_revoked", session, client, now) for session in ended))
        facts = [
            SessionEnded(session, session.revoked_reason, session.revoked_by, session.revoked_at)
            for session in ended
            if session.revoked_reason and session.revoked_by and session.revoked_at
        ]
        try:
            return await self._publisher.publish(facts, wait=wait)
        finally:
            await recorded

    async def _record(self, kind: str, session: Session, client: Client, now: datetime) -> None:
        details = {"generation": str(session.generation)}
        if session.revoked_reason is not None and session.revoked_by is not None:
            details |= {"reason": session.revoked_reason.value, "by": session.revoked_by.kind}
            details |= {"bySession": session.revoked_by.session_id or ""}
        # Users can read their own trail: an administrator's address belongs only in the administrator's trail.
        by_admin = session.revoked_by is not None and session.revoked_by.kind == "admin"
        await self._audit.record(
            kind,
            user_id=session.user_id,
            session_id=session.session_id,
            client=None if by_admin else client,
            details=details,
            now=now,
        )

    async def _is_revoked(self, principal: Principal) -> bool:
        try:
            return await self._revocations.is_revoked(principal.user_id, principal.session_id)
        except Unavailable:
            # Redis cannot answer: fall back to MongoDB.
            session = await self._store.get(principal.session_id, user_id=principal.user_id)
            return session is None or session.revoked_at is not None

    def _issue(self, session: Session, token: RefreshToken, now: datetime) -> IssuedTokens:
        access_token, access_expires_at = self._access_tokens.mint(session, now=now)
        return IssuedTokens(access_token, access_expires_at, self._refresh_tokens.mint(token), session.expires_at)
