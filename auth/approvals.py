"""Approving a login on another device: instead of a code, a device that is online says that it is the user.

The new device shows a number, the others three: only somebody who sees both can approve, so that a habit of saying
yes to what pops up lets nobody in (ASVS 5.0, 6.6.4). An approval is bound to the one login that asked for it
(6.6.2), is answered once, and is worth as much as the session that gave it: it must have given two factors, and
must still be live when the login is finished. A login approved so is no login by two factors itself (RFC 8176:
`mca`), so that sensitive operations, other approvals among them, ask it for a factor first.
"""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from auth.admission import Admission, WaitingLogin
from auth.clock import Clock
from auth.errors import (
    AccountLocked,
    Conflict,
    InvalidCode,
    InvalidToken,
    NotFound,
    RateLimited,
    SessionRevoked,
    Unavailable,
)
from auth.events import PresenceReader
from auth.mail.mailer import Mailer
from auth.metrics import Metrics
from auth.models import Approval, ApprovalStatus, Client, FactorAnswer, Principal, User
from auth.rate_limits import RateLimits
from auth.second_factors import Occasion
from auth.session_terms import Audit, DeviceReader, LocationReader, Revoked, SessionReader
from auth.sessions import Sessions
from auth.step_up import StepUp
from auth.stores.approvals import Approvals as ApprovalStore
from auth.stores.challenges import ChallengePurpose, Challenges
from auth.stores.one_time_tokens import secret_digest
from auth.stores.users import Users

METHOD = "approval"
# How long the devices may answer, and how long their answer waits for the login to be finished.
ASKED_FOR = timedelta(seconds=60)
GOOD_FOR = timedelta(seconds=60)
SHOWN_NUMBERS = 3
# How long a device that waits is answered late, so that it hears of the answer at once.
LONGEST_WAIT = 20.0
# What the bus did not tell is read this often.
READ_EVERY = 2.0
NO_ANSWER_WANTED = "This login does not wait for an answer any more."


class News(Protocol):
    """What one that waits for an answer hears of it."""

    @property
    def over(self) -> bool:
        """Whether it shall wait no longer: it is gone, waits elsewhere, or the node stops."""

    async def wait(self, seconds: float) -> None:
        """Return when there is news, or it is over, or after `seconds`."""

    def leave(self) -> None:
        """Nobody waits here any more."""


class ApprovalLine(Protocol):
    """The way to the user's devices, and back to the device that waits."""

    async def ask(self, approval: Approval) -> None:
        """Show the request on every live device of the user. Raises `Unavailable` when nobody can be told."""

    async def tell(self, approval: Approval) -> None:
        """Tell the answer to those devices and to whoever waits for it: best effort, for the store has it too."""

    def listen(self, login_id: bytes) -> contextlib.AbstractContextManager[News]:
        """Hear of one login's answer; whoever listened for it before is let go.

        Raises `RateLimited` when this node holds as many as it can.
        """


@dataclass(frozen=True, slots=True)
class Asked:
    """How it stands with a login that was asked about; `number` is for the new device to show."""

    number: int
    status: ApprovalStatus
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer came to; `revoked`: the sessions that were ended with it."""

    status: ApprovalStatus
    revoked: Revoked | None = None


class ApprovalFactor:
    """The `SecondFactor` that rests on another device of the user."""

    method = METHOD
    amr: tuple[str, ...] = ("mca",)  # RFC 8176: more than one channel, and nothing said of factors
    stands_alone = False

    def __init__(
        self, *, store: ApprovalStore, sessions: SessionReader, presence: PresenceReader, clock: Clock
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._presence = presence
        self._clock = clock

    async def is_ready(self, user: User) -> bool:
        """Whether the user allows it and has a device online."""
        if not user.login_approval:
            return False
        online, _ = await self._presence.online(user.user_id)
        return bool(online)

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:  # noqa: ARG002
        """Raise `InvalidCode` unless this very login was approved, by a session that is live; good once."""
        if isinstance(occasion, Principal):
            raise InvalidCode
        now = self._clock()
        approval = await self._store.use(occasion.challenge_id, answered_since=now - GOOD_FOR)
        if approval is None or approval.user_id != user.user_id or approval.answered_by is None:
            raise InvalidCode("This login was not approved.")
        session = await self._sessions.get(approval.answered_by)
        if session is None or session.user_id != user.user_id or not session.is_live(now):
            raise InvalidCode("The device that approved this login was logged out.")


class Approvals:
    """Asks devices about a login, and takes their answer."""

    def __init__(
        self,
        *,
        store: ApprovalStore,
        challenges: Challenges,
        users: Users,
        admission: Admission,
        step_up: StepUp,
        sessions: Sessions,
        line: ApprovalLine,
        devices: DeviceReader,
        locations: LocationReader,
        mailer: Mailer,
        limits: RateLimits,
        audit: Audit,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._challenges = challenges
        self._users = users
        self._admission = admission
        self._step_up = step_up
        self._sessions = sessions
        self._line = line
        self._devices = devices
        self._locations = locations
        self._mailer = mailer
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock

    async def ask(self, mfa_token: str, *, client: Client) -> Asked:
        """Ask the user's devices about a waiting login; asked again while it waits, the same is answered.

        Raises `InvalidToken`, `AccountLocked`, `Conflict` when there is nobody to ask, `RateLimited` when this
        user was asked too often or has denied lately, or `Unavailable`.
        """
        login = await self._admission.waiting(mfa_token)
        login_id, now = login.challenge.challenge_id, self._clock()
        asked = await self._store.of_login(login_id)
        if asked is not None and asked.status(now) is not ApprovalStatus.EXPIRED:
            return self._standing(asked)
        await self._may_ask(login, client)
        approval = self._approval(login, client)
        if await self._store.begin(approval) is None:
            return await self._asked_meanwhile(login_id)
        try:
            await self._line.ask(approval)
        except Unavailable:
            await self._store.withdraw(approval.approval_id)
            raise
        self._metrics.approvals.labels("asked").inc()
        await self._record("approval_asked", approval, None, client)
        return self._standing(approval)

    async def wait(
        self,
        mfa_token: str,
        *,
        seconds: float = LONGEST_WAIT,
        on_leave: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> Asked:
        """How the login stands once it is answered or over, or after `seconds`.

        `on_leave` is given what to call when the caller is gone. One caller waits for one login: a later call
        sends the earlier one home. Raises `InvalidToken` where nothing was asked, `RateLimited` or `Unavailable`.
        """
        login_id, deadline = secret_digest(mfa_token), time.monotonic() + seconds
        with self._line.listen(login_id) as news:
            on_leave(news.leave)
            while True:
                approval = await self._store.of_login(login_id)
                if approval is None:
                    raise InvalidToken("Nobody was asked about this login.")
                asked, left = self._standing(approval), deadline - time.monotonic()
                if asked.status is not ApprovalStatus.PENDING or news.over or left <= 0:
                    return asked
                await news.wait(min(left, READ_EVERY))

    async def approve(self, principal: Principal, approval_id: str, *, number: int, client: Client) -> Answered:
        """Approve a login by the number that it shows; a wrong number denies it.

        Raises `StepUpRequired` when the principal's session gave one factor only (the request then still waits),
        `NotFound` when there is nothing to answer any more, `SessionRevoked` or `Unavailable`.
        """
        await self._step_up.require_two_factors(principal)
        return await self._answer(principal, approval_id, number, client)

    async def deny(
        self, principal: Principal, approval_id: str, *, end_all: bool = False, client: Client
    ) -> Answered:
        """Deny a login, from any device; with `end_all` every session of the user ends too, this one among them.

        Raises `NotFound` when there is nothing to answer any more, and the sessions have ended all the same; or
        `Unavailable`, after which it is to be said again.
        """
        if not end_all:
            return await self._answer(principal, approval_id, None, client)
        try:
            answered = await self._answer(principal, approval_id, None, client)
        except NotFound:
            # A second too late, or after a stranger's approval, is when it is needed most.
            await self._sessions.log_out_everywhere(principal, client=client)
            raise NotFound(f"{NO_ANSWER_WANTED} All sessions were ended.") from None
        return Answered(answered.status, await self._sessions.log_out_everywhere(principal, client=client))

    async def is_allowed(self, principal: Principal) -> bool:
        """Whether the principal's user lets logins be approved. Raises `SessionRevoked` or `Unavailable`."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return user.login_approval

    async def allow(self, principal: Principal, allowed: bool, *, client: Client) -> None:
        """Let logins be approved from now on, or not any more.

        Raises `StepUpRequired`, `RateLimited` or `Unavailable`.
        """
        user = await self._step_up.require(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        if not await self._users.set_login_approval(user.user_id, allowed):
            return
        await self._audit.record(
            "approval_allowed" if allowed else "approval_forbidden",
            user_id=user.user_id,
            session_id=principal.session_id,
            client=client,
            now=self._clock(),
        )
        await self._mailer.approval_changed(user, allowed=allowed, at=self._clock(), ip=client.ip)

    async def _may_ask(self, login: WaitingLogin, client: Client) -> None:
        user = login.user
        if user.locked_at is not None:
            raise AccountLocked
        if METHOD not in await self._admission.methods_of(login):
            raise Conflict("None of your other devices can be asked right now.")
        await self._limits.check("approval_denied", user.user_id)
        await self._limits.hit("approval_ip", client.ip)
        await self._limits.hit("approval", user.user_id)

    def _standing(self, approval: Approval) -> Asked:
        return Asked(approval.number, approval.status(self._clock()), approval.expires_at)

    async def _asked_meanwhile(self, login_id: bytes) -> Asked:
        approval = await self._store.of_login(login_id)
        if approval is None:
            raise Unavailable  # its asker could not tell anybody, and took it back
        return self._standing(approval)

    def _approval(self, login: WaitingLogin, client: Client) -> Approval:
        now, numbers = self._clock(), draw_numbers()
        return Approval(
            approval_id=secrets.token_urlsafe(24),
            login_id=login.challenge.challenge_id,
            user_id=login.user.user_id,
            number=secrets.choice(numbers),
            numbers=numbers,
            # Not by the name that the new device gives itself: it could be that of one the user knows.
            device=self._devices.read(client),
            location=self._locations.locate(client.ip),
            ip=client.ip,
            asked_at=now,
            expires_at=min(now + ASKED_FOR, login.challenge.expires_at),
        )

    async def _answer(
        self, principal: Principal, approval_id: str, number: int | None, client: Client
    ) -> Answered:
        user_id = principal.user_id
        approval = await self._store.answer(
            approval_id, user_id=user_id, number=number, session_id=principal.session_id, now=self._clock()
        )
        if approval is None:
            # Said again because an outage came between it and what follows from it, which is not to be lost.
            approval = await self._store.unsettled_denial(approval_id, user_id=user_id, number=number)
        if approval is None or approval.answer is None:
            raise NotFound(NO_ANSWER_WANTED)
        if approval.answer is ApprovalStatus.DENIED:
            # Whoever began it gave its first factor: they shall not go on to guess codes.
            await self._challenges.withdraw(approval.login_id, ChallengePurpose.SECOND_FACTOR)
        await self._line.tell(approval)
        self._metrics.approvals.labels(approval.answer.value).inc()
        await self._record(f"approval_{approval.answer.value}", approval, principal, client)
        if approval.answer is ApprovalStatus.DENIED:
            await self._after_denial(approval, wrong_number=number is not None)
        return Answered(approval.answer)

    async def _after_denial(self, approval: Approval, *, wrong_number: bool) -> None:
        """Ask the user no more for a while, and tell them that somebody gave their first factor."""
        with contextlib.suppress(RateLimited):  # denied before, in this very hour
            await self._limits.hit("approval_denied", approval.user_id)
        user = await self._users.by_id(approval.user_id)
        if user is not None:
            await self._mailer.login_denied(user, approval=approval, at=self._clock(), wrong_number=wrong_number)
        await self._store.settle(approval.approval_id, now=self._clock())

    async def _record(self, kind: str, approval: Approval, principal: Principal | None, client: Client) -> None:
        await self._audit.record(
            kind,
            user_id=approval.user_id,
            session_id=principal.session_id if principal else None,
            client=client,
            details={"device": approval.device.name, "askedFrom": approval.ip},
            now=self._clock(),
        )


def draw_numbers() -> tuple[int, ...]:
    """Different numbers of two digits, in no order."""
    return tuple(secrets.SystemRandom().sample(range(10, 100), SHOWN_NUMBERS))
