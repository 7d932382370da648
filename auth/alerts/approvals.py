"""Login approval: a device that is online approves a login on another device, instead of a code.

The new device shows a number, the other devices show three; only someone who sees both can approve, so that
habitually confirming prompts lets nobody in (ASVS 5.0, 6.6.4). After a wrong number there is one more try with new
numbers, once an hour for an account, if the new device can show a second number.

An approval is bound to the login that requested it (6.6.2) and answered once. The approving session must have been
authenticated with two factors and must still be live when the login is completed. An approved login is not itself
multi-factor (RFC 8176: `mca`), so sensitive operations, including other approvals, first require a factor.
"""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.clock import Clock
from auth.core.errors import (
    AccountLocked,
    Conflict,
    InvalidCode,
    InvalidToken,
    NotFound,
    RateLimited,
    SessionRevoked,
    Unavailable,
)
from auth.core.events import PresenceReader
from auth.core.models import Approval, ApprovalStatus, Client, FactorAnswer, Principal, User
from auth.factors.registry import Occasion
from auth.factors.step_up import StepUp
from auth.login.admission import Admission, WaitingLogin
from auth.notifications.mail_contents import ApprovalChanged, LoginDenied
from auth.services import Operation, Services
from auth.sessions.sessions import Sessions
from auth.sessions.types import Revoked
from auth.stores.approvals import ApprovalStore
from auth.stores.challenges import ChallengePurpose, Challenges
from auth.stores.one_time_tokens import secret_digest
from auth.stores.sessions.store import SessionStore

METHOD = "approval"
# How long a request can be answered, and how long an approval can be used to complete the login.
REQUEST_LIFE = timedelta(seconds=60)
ANSWER_LIFE = timedelta(seconds=60)
SHOWN_NUMBERS = 3
# Longest duration of one long-polling request.
MAX_WAIT_SECONDS = 20.0
# How often the store is read, in case the bus loses the answer.
POLL_SECONDS = 2.0
NOT_PENDING = "This login is no longer waiting for an answer."


class ApprovalListener(Protocol):
    """Notifies one waiting request of its answer."""

    @property
    def over(self) -> bool:
        """Whether to stop waiting: the caller is gone, a later call replaced it, or the node is stopping."""

    async def wait(self, seconds: float) -> None:
        """Return when there is an answer, when `over` becomes true, or after `seconds`."""

    def leave(self) -> None:
        """Stop waiting, because the caller has disconnected."""


class ApprovalLine(Protocol):
    """Sends requests to the user's devices, and answers to the waiting device."""

    async def ask(self, approval: Approval) -> None:
        """Show the request on every live device of the user. Raises `Unavailable` if it cannot be sent."""

    async def renumber(self, closed_id: str, approval: Approval) -> None:
        """Show the request with its new numbers on those devices instead of the request `closed_id`, and send the
        new number to the waiting device. Best effort, because they are also stored.
        """

    async def tell(self, approval: Approval, *, off_for: float | None = None) -> None:
        """Send the answer to those devices and the waiting request. Best effort, because it is also stored.

        `off_for`: for how many seconds after a denial no approval can be requested.
        """

    def listen(self, login_id: bytes) -> contextlib.AbstractContextManager[ApprovalListener]:
        """Listen for the answer to one login; replaces an earlier listener.

        Raises `RateLimited` when this node has reached its limit of listeners.
        """


@dataclass(frozen=True, slots=True)
class RequestedApproval:
    """The status of a request; `number` is shown by the new device.

    `off_for`: after a denial, for how many seconds no approval can be requested.
    """

    number: int
    status: ApprovalStatus
    expires_at: datetime
    off_for: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of an answer; `revoked`: the sessions that were ended with it.

    `try_again`: the number was wrong, and a request with new numbers follows.
    """

    status: ApprovalStatus
    revoked: Revoked | None = None
    try_again: bool = False


class ApprovalFactor:
    """Approval on another device as a second factor. Implements `registry.SecondFactor`."""

    method = METHOD
    amr: tuple[str, ...] = ("mca",)  # RFC 8176: multiple-channel authentication, which implies no factors
    stands_alone = False

    def __init__(
        self, *, store: ApprovalStore, sessions: SessionStore, presence: PresenceReader, clock: Clock
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._presence = presence
        self._clock = clock

    async def is_ready(self, user: User) -> bool:
        """Whether the user has enabled login approval and has a device online."""
        if not user.login_approval:
            return False
        online, _ = await self._presence.online(user.user_id)
        return bool(online)

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> str:  # noqa: ARG002
        """Return the id of the session that approved this login. Accepted once.

        Raises `InvalidCode` unless there is one that is still live.
        """
        if isinstance(occasion, Principal):
            raise InvalidCode
        now = self._clock()
        approval = await self._store.use(occasion.challenge_id, answered_since=now - ANSWER_LIFE)
        if approval is None or approval.user_id != user.user_id or approval.answered_by is None:
            raise InvalidCode("This login was not approved.")
        session = await self._sessions.get(approval.answered_by, user_id=user.user_id)
        if session is None or not session.is_live(now):
            raise InvalidCode("The device that approved this login was logged out.")
        return session.session_id


class Approvals(Operation):
    """Requests approvals and records the answers."""

    def __init__(
        self,
        services: Services,
        *,
        store: ApprovalStore,
        challenges: Challenges,
        admission: Admission,
        step_up: StepUp,
        sessions: Sessions,
        line: ApprovalLine,
        devices: Devices,
        locations: Locations,
    ) -> None:
        super().__init__(services)
        self._store = store
        self._challenges = challenges
        self._admission = admission
        self._step_up = step_up
        self._sessions = sessions
        self._line = line
        self._devices = devices
        self._locations = locations
        self._counter = services.metrics.approvals
        services.metrics.begin(self._counter, "asked", ApprovalStatus.APPROVED, ApprovalStatus.DENIED)

    async def ask(self, mfa_token: str, *, can_renumber: bool = False, client: Client) -> RequestedApproval:
        """Request approval of a waiting login; repeated while it is pending, returns the same request.

        `can_renumber`: the new device can show a second number, so a wrong one need not deny the login.
        Raises `InvalidToken`, `AccountLocked`, `Conflict` if no device can be asked, `RateLimited` if this user
        was asked too often or has recently denied a login, or `Unavailable`.
        """
        login = await self._admission.waiting(mfa_token)
        login_id, now = login.challenge.challenge_id, self._clock()
        asked = await self._store.of_login(login_id)
        if asked is not None and asked.status(now) is not ApprovalStatus.EXPIRED:
            return self._requested(asked)
        await self._check_may_ask(login, client)
        approval = self._approval(login, client, tries=2 if can_renumber else 1)
        if await self._store.begin(approval) is None:
            return await self._concurrent_request(login_id)
        try:
            await self._line.ask(approval)
        except Unavailable:
            await self._store.withdraw(approval.approval_id)
            raise
        self._counter.labels("asked").inc()
        await self._record("approval_asked", approval, None, client)
        return self._requested(approval)

    async def wait(
        self,
        mfa_token: str,
        *,
        shown: int | None = None,
        seconds: float = MAX_WAIT_SECONDS,
        on_leave: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> RequestedApproval:
        """Wait until the request is answered, expires, or has another number than `shown`, at most `seconds`.

        `on_leave` receives a callback to call when the caller disconnects. Only one caller waits for a login: a
        later call ends an earlier one. Raises `InvalidToken` if no approval was requested, `RateLimited` or
        `Unavailable`.
        """
        login_id, deadline = secret_digest(mfa_token), time.monotonic() + seconds
        with self._line.listen(login_id) as news:
            on_leave(news.leave)
            while True:
                approval = await self._store.of_login(login_id)
                if approval is None:
                    raise InvalidToken("No approval was requested for this login.")
                asked, left = self._requested(approval), deadline - time.monotonic()
                if asked.status is ApprovalStatus.DENIED:
                    return replace(asked, off_for=await self._off_for(approval.user_id))
                is_new = asked.status is not ApprovalStatus.PENDING or shown not in (None, asked.number)
                if is_new or news.over or left <= 0:
                    return asked
                await news.wait(min(left, POLL_SECONDS))

    async def approve(self, principal: Principal, approval_id: str, *, number: int, client: Client) -> Answered:
        """Approve a login with the number that the new device shows.

        A wrong number ends the request: with a request with new numbers if there is another try, otherwise with a
        denial.
        Raises `StepUpRequired` if the principal's session has one factor only (the request stays pending),
        `NotFound` if the request is no longer pending, `SessionRevoked` or `Unavailable`.
        """
        await self._step_up.require_two_factors(principal)
        if await self._renumber(principal, approval_id, number, client):
            return Answered(ApprovalStatus.DENIED, try_again=True)
        return await self._answer(principal, approval_id, number, client)

    async def deny(
        self, principal: Principal, approval_id: str, *, end_all: bool = False, client: Client
    ) -> Answered:
        """Deny a login, from any device. With `end_all`, also end every session of the user, including this one.

        Raises `NotFound` if the request is no longer pending, after ending the sessions if `end_all`; or
        `Unavailable`, after which the call should be repeated.
        """
        if not end_all:
            return await self._answer(principal, approval_id, None, client)
        try:
            answered = await self._answer(principal, approval_id, None, client)
        except NotFound:
            # Needed most if the denial comes too late or an attacker has already approved.
            await self._sessions.log_out_everywhere(principal, client=client)
            raise NotFound(f"{NOT_PENDING} All sessions were ended.") from None
        return Answered(answered.status, await self._sessions.log_out_everywhere(principal, client=client))

    async def is_allowed(self, principal: Principal) -> bool:
        """Whether the principal's user has enabled login approval. Raises `SessionRevoked` or `Unavailable`."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return user.login_approval

    async def allow(self, principal: Principal, allowed: bool, *, client: Client) -> None:
        """Enable or disable login approval. Raises `StepUpRequired`, `RateLimited` or `Unavailable`."""
        user = await self._step_up.allow_change(principal)
        if not await self._users.set_login_approval(user.user_id, allowed):
            return
        await self._audit.record(
            "approval_allowed" if allowed else "approval_forbidden",
            user_id=user.user_id,
            session_id=principal.session_id,
            client=client,
        )
        await self._mailer.tell(user, ApprovalChanged(at=self._clock(), ip=client.ip, allowed=allowed))

    async def _check_may_ask(self, login: WaitingLogin, client: Client) -> None:
        user = login.user
        if user.locked_at is not None:
            raise AccountLocked
        if METHOD not in await self._admission.methods_of(login):
            raise Conflict("None of your other devices can be asked right now.")
        await self._limits.check("approval_denied", user.user_id)
        await self._limits.hit("approval_ip", client.ip)
        await self._limits.hit("approval", user.user_id)

    def _requested(self, approval: Approval) -> RequestedApproval:
        return RequestedApproval(approval.number, approval.status(self._clock()), approval.expires_at)

    async def _concurrent_request(self, login_id: bytes) -> RequestedApproval:
        approval = await self._store.of_login(login_id)
        if approval is None:
            raise Unavailable  # the concurrent request could not be sent and was withdrawn
        return self._requested(approval)

    def _approval(self, login: WaitingLogin, client: Client, *, tries: int) -> Approval:
        now, numbers = self._clock(), draw_numbers()
        return Approval(
            approval_id=new_id(),
            login_id=login.challenge.challenge_id,
            user_id=login.user.user_id,
            number=secrets.choice(numbers),
            numbers=numbers,
            # Without the name that the new device gave itself: an attacker could copy that of a known device.
            device=self._devices.read(client),
            location=self._locations.locate(client.ip),
            ip=client.ip,
            asked_at=now,
            expires_at=min(now + REQUEST_LIFE, login.challenge.expires_at),
            tries_left=tries,
        )

    async def _renumber(self, principal: Principal, approval_id: str, number: int, client: Client) -> bool:
        """Ask once more with new numbers, if `number` is wrong and there is another try."""
        user_id, now = principal.user_id, self._clock()
        asked = await self._store.pending(approval_id, user_id=user_id, now=now)
        if asked is None or asked.number == number or asked.tries_left < 2:
            return False
        try:
            # Over all logins of the account, because whoever knows the password can start any number of them.
            await self._limits.hit("approval_denied", "wrong_number", user_id)
        except RateLimited:
            return False
        numbers = draw_numbers()
        renewed = replace(asked, approval_id=new_id(), number=secrets.choice(numbers), numbers=numbers)
        renewed_now = await self._store.renumber(approval_id, user_id=user_id, renewed=renewed, now=now)
        if renewed_now is None:
            raise NotFound(NOT_PENDING)  # answered concurrently
        await self._line.renumber(approval_id, renewed_now)
        await self._record("approval_wrong_number", renewed_now, principal, client)
        return True

    async def _off_for(self, user_id: str) -> float | None:
        """For how many seconds no approval can be requested, because a login was denied."""
        return await self._limits.blocked_for("approval_denied", user_id)

    async def _answer(
        self, principal: Principal, approval_id: str, number: int | None, client: Client
    ) -> Answered:
        user_id = principal.user_id
        approval = await self._store.answer(
            approval_id, user_id=user_id, number=number, session_id=principal.session_id, now=self._clock()
        )
        if approval is None:
            # A repeated denial: an outage interrupted its follow-up steps, which are done now.
            approval = await self._store.unsettled_denial(approval_id, user_id=user_id, number=number)
        if approval is None or approval.answer is None:
            raise NotFound(NOT_PENDING)
        if approval.answer is ApprovalStatus.DENIED:
            # Whoever started the login passed the first factor; do not let them go on to guess codes.
            await self._challenges.withdraw(approval.login_id, ChallengePurpose.SECOND_FACTOR)
            with contextlib.suppress(RateLimited):  # already blocked by an earlier denial
                await self._limits.hit("approval_denied", user_id)
            await self._line.tell(approval, off_for=await self._off_for(user_id))
        else:
            await self._line.tell(approval)
        self._counter.labels(approval.answer.value).inc()
        await self._record(f"approval_{approval.answer.value}", approval, principal, client)
        if approval.answer is ApprovalStatus.DENIED:
            await self._notify_of_denial(approval, wrong_number=number is not None)
        return Answered(approval.answer)

    async def _notify_of_denial(self, approval: Approval, *, wrong_number: bool) -> None:
        """Notify the user that someone passed their first factor."""
        user = await self._users.by_id(approval.user_id)
        if user is not None:
            notice = LoginDenied(
                at=self._clock(), ip=approval.ip, device=approval.device, wrong_number=wrong_number
            )
            await self._mailer.tell(user, notice)
        await self._store.settle(approval.approval_id, now=self._clock())

    async def _record(self, kind: str, approval: Approval, principal: Principal | None, client: Client) -> None:
        await self._audit.record(
            kind,
            user_id=approval.user_id,
            session_id=principal.session_id if principal else None,
            client=client,
            details={"device": approval.device.name, "askedFrom": approval.ip},
        )


def new_id() -> str:
    """Draw the id of a request."""
    return secrets.token_urlsafe(24)


def draw_numbers() -> tuple[int, ...]:
    """Draw distinct two-digit numbers in random order."""
    return tuple(secrets.SystemRandom().sample(range(10, 100), SHOWN_NUMBERS))
