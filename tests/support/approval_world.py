"""Logins that wait for another device, on real stores, with a second factor that the test knows the code of."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from auth.admission import Admission, LoggedIn, MfaPending
from auth.approvals import Approvals
from auth.errors import InvalidCode, Unavailable
from auth.models import MULTI_FACTOR, Approval, Client, FactorAnswer, Principal, Session, TokenDelivery, User
from auth.rate_limits import RateLimits
from auth.second_factors import Occasion
from auth.step_up import StepUp
from auth.stores.approvals import Approvals as ApprovalStore
from auth.stores.challenges import Challenges
from auth.stores.users import Users
from realtime.approvals import Listener
from support.session_world import LAPTOP, PHONE, make_user
from support.session_world import World as SessionWorld

CODE = "123456"


@dataclass
class CodeFactor:
    """A second factor of users who have one, with a code that never changes."""

    owners: set[str] = field(default_factory=set)
    method: str = "totp"
    amr: tuple[str, ...] = ("otp",)
    stands_alone: bool = True
    looked_for: int = 0

    async def is_ready(self, user: User) -> bool:
        self.looked_for += 1
        return user.user_id in self.owners

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:
        if answer.code != CODE:
            raise InvalidCode


@dataclass
class LineInSight:
    """An `ApprovalLine` that remembers; `cut`: nobody can be told."""

    asked: list[Approval] = field(default_factory=list)
    told: list[Approval] = field(default_factory=list)
    cut: bool = False
    deaf: bool = False
    listeners: dict[bytes, Listener] = field(default_factory=dict)

    async def ask(self, approval: Approval) -> None:
        if self.cut:
            raise Unavailable
        self.asked.append(approval)

    async def tell(self, approval: Approval) -> None:
        self.told.append(approval)
        if not self.deaf and approval.login_id in self.listeners:
            self.listeners[approval.login_id].tell()

    @contextmanager
    def listen(self, login_id: bytes) -> Iterator[Listener]:
        listener = self.listeners[login_id] = Listener()
        yield listener


@dataclass
class MailsInSight:
    """Remembers what was mailed, and to whom."""

    sent: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    async def login_denied(self, user: User, **about: Any) -> None:
        self.sent.append(("login_denied", user.user_id, about))

    async def approval_changed(self, user: User, **about: Any) -> None:
        self.sent.append(("approval_changed", user.user_id, about))

    async def second_factor_failed(self, user: User, **about: Any) -> None:
        self.sent.append(("second_factor_failed", user.user_id, about))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.sent]


@dataclass
class World:
    """Everything that a login approval touches."""

    sessions: SessionWorld
    users: Users
    challenges: Challenges
    store: ApprovalStore
    code: CodeFactor
    admission: Admission
    step_up: StepUp
    approvals: Approvals
    line: LineInSight
    mails: MailsInSight
    limits: RateLimits

    @property
    def time(self) -> Any:
        return self.sessions.time

    async def user(self, *, with_factor: bool = True, **changes: Any) -> User:
        user = dataclasses.replace(make_user(self.time.now), **changes)
        await self.users.create(user)
        if with_factor:
            self.code.owners.add(user.user_id)
        return user

    async def device(self, user: User, *, amr: tuple[str, ...] = ("pwd", "otp", MULTI_FACTOR)) -> Principal:
        """A device of the user's that is logged in and online."""
        started = await self.sessions.sessions.start(
            user, amr=amr, device_name=None, delivery=TokenDelivery.BODY, client=LAPTOP
        )
        self.sessions.presence.sessions |= {started.session.session_id}
        return principal_of(started.session)

    async def begin(self, user: User, client: Client = PHONE) -> MfaPending:
        """A login on a new device, its password proved."""
        found = await self.users.by_id(user.user_id)
        assert found is not None
        pending = await self.admission.admit(
            found, amr=("pwd",), device_name="Ada's phone", delivery=TokenDelivery.BODY, client=client
        )
        assert isinstance(pending, MfaPending)
        return pending

    async def ask(self, pending: MfaPending, client: Client = PHONE) -> Approval:
        """Ask about it; what the devices were shown."""
        await self.approvals.ask(pending.mfa_token, client=client)
        return self.line.asked[-1]

    async def finish(self, pending: MfaPending) -> LoggedIn:
        return await self.admission.finish(pending.mfa_token, FactorAnswer("approval"), client=PHONE)

    async def trail(self, user: User) -> list[str]:
        """The kinds of the user's audit events, oldest first."""
        return [event.kind for event in await self.sessions.trail(user)]


def principal_of(session: Session) -> Principal:
    at = session.logged_in_at
    return Principal(session.user_id, session.session_id, 0, (), session.amr, at, at, at)
