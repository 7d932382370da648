"""Login approvals on real stores, with a second factor whose code is fixed."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from auth.alerts.approvals import Approvals
from auth.core.errors import InvalidCode, Unavailable
from auth.core.models import MULTI_FACTOR, Approval, Client, FactorAnswer, Principal, TokenDelivery, User
from auth.factors.registry import Occasion
from auth.factors.step_up import StepUp
from auth.login.admission import Admission, LoggedIn, MfaPending
from auth.notifications.mail_contents import MailContent
from auth.platform.rate_limits import RateLimits
from auth.stores.approvals import ApprovalStore
from auth.stores.challenges import Challenges
from auth.stores.users.store import Users
from realtime.delivery.approvals import Listener
from support.session_world import LAPTOP, PHONE, make_user, principal_of
from support.session_world import World as SessionWorld

CODE = "123456"


@dataclass
class CodeFactor:
    """A second factor with a fixed code, set up for the users in `owners`."""

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
class RecordingLine:
    """An `ApprovalLine` that records calls. `cut`: `ask` raises `Unavailable`; `deaf`: answers get lost."""

    asked: list[Approval] = field(default_factory=list)
    told: list[Approval] = field(default_factory=list)
    off_for: float | None = None
    cut: bool = False
    deaf: bool = False
    listeners: dict[bytes, Listener] = field(default_factory=dict)

    async def ask(self, approval: Approval) -> None:
        if self.cut:
            raise Unavailable
        self.asked.append(approval)

    async def renumber(self, closed_id: str, approval: Approval) -> None:
        self.asked.append(approval)
        if not self.deaf and approval.login_id in self.listeners:
            self.listeners[approval.login_id].tell()

    async def tell(self, approval: Approval, *, off_for: float | None = None) -> None:
        self.told.append(approval)
        self.off_for = off_for
        if not self.deaf and approval.login_id in self.listeners:
            self.listeners[approval.login_id].tell()

    @contextmanager
    def listen(self, login_id: bytes) -> Iterator[Listener]:
        listener = self.listeners[login_id] = Listener()
        yield listener


@dataclass
class RecordingMailer:
    """A mailer that records mails and their recipients."""

    sent: list[tuple[MailContent, str]] = field(default_factory=list)

    async def tell(self, user: User, content: MailContent) -> None:
        self.sent.append((content, user.user_id))

    @property
    def kinds(self) -> list[str]:
        return [content.kind for content, _ in self.sent]


@dataclass
class World:
    """The operations, stores and test doubles of login approvals."""

    sessions: SessionWorld
    users: Users
    challenges: Challenges
    store: ApprovalStore
    code: CodeFactor
    admission: Admission
    step_up: StepUp
    approvals: Approvals
    line: RecordingLine
    mails: RecordingMailer
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
        """Log in a device of the user and mark it online; return its principal."""
        started = await self.sessions.sessions.start(
            user, amr=amr, device_name=None, delivery=TokenDelivery.BODY, client=LAPTOP
        )
        self.sessions.presence.sessions |= {started.session.session_id}
        return principal_of(started.session)

    async def begin(self, user: User, client: Client = PHONE) -> MfaPending:
        """Begin a login on a new device, with the password verified."""
        found = await self.users.by_id(user.user_id)
        assert found is not None
        pending = await self.admission.admit(
            found, amr=("pwd",), device_name="Ada's phone", delivery=TokenDelivery.BODY, client=client
        )
        assert isinstance(pending, MfaPending)
        return pending

    async def ask(self, pending: MfaPending, client: Client = PHONE, **can: bool) -> Approval:
        """Request approval; return what the devices were sent."""
        await self.approvals.ask(pending.mfa_token, client=client, **can)
        return self.line.asked[-1]

    async def finish(self, pending: MfaPending) -> LoggedIn:
        return await self.admission.finish(pending.mfa_token, FactorAnswer("approval"), client=PHONE)

    async def trail(self, user: User) -> list[str]:
        """Return the kinds of the user's audit events, oldest first."""
        return [event.kind for event in await self.sessions.trail(user)]
