"""What the server writes to people: composed here, sent by the job queue, so that nobody waits for it."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from auth.errors import Unavailable
from auth.jobs import Jobs
from auth.linked_identities import IdentityChange
from auth.mail.message import Mail
from auth.mail.templates import MailTemplates
from auth.metrics import Metrics
from auth.models import Approval, Session, User
from auth.own_phone import PhoneChange
from auth.stores.users import Users
from auth.two_factor import FactorChange

log = structlog.get_logger()


class Mailer:
    """Queues mails. Each call returns once the mail is safe in MongoDB; none waits for a mail server.

    What mails a link raises `Unavailable` when MongoDB is down. What tells of something that was done never
    raises: it was done, and to answer that it was not would have it tried again.
    """

    def __init__(self, *, templates: MailTemplates, jobs: Jobs, users: Users, metrics: Metrics) -> None:
        self._templates = templates
        self._jobs = jobs
        self._users = users
        self._metrics = metrics

    async def verify_address(
        self, user: User, *, token: str, requested_at: datetime, ip: str | None, valid_for: timedelta, anew: bool
    ) -> None:
        """Mail the link that verifies the user's address; `anew`: which leaves the account without a password."""
        await self._queue(
            user,
            self._templates.verify_address(
                user.email, token=token, requested_at=requested_at, ip=ip, valid_for=valid_for, anew=anew
            ),
        )

    async def already_registered(self, user: User, *, requested_at: datetime, ip: str) -> None:
        """Tell the user that somebody registered their address again."""
        await self._queue(user, self._templates.already_registered(user.email, requested_at=requested_at, ip=ip))

    async def reset_password(
        self, user: User, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> None:
        """Mail the link that sets a new password."""
        await self._queue(
            user,
            self._templates.reset_password(
                user.email, token=token, requested_at=requested_at, ip=ip, valid_for=valid_for
            ),
        )

    async def password_changed(self, user: User, *, at: datetime, ip: str) -> None:
        """Tell the user that their password was changed."""
        await self._tell(user, self._templates.password_changed(user.email, at=at, ip=ip))

    async def confirm_new_address(
        self, user: User, to: str, *, token: str, requested_at: datetime, valid_for: timedelta
    ) -> None:
        """Mail the new address of an account its link."""
        await self._queue(
            user,
            self._templates.confirm_new_address(to, token=token, requested_at=requested_at, valid_for=valid_for),
        )

    async def confirm_old_address(
        self, user: User, *, token: str, requested_at: datetime, ip: str, valid_for: timedelta
    ) -> None:
        """Mail the old address of an account its link."""
        await self._queue(
            user,
            self._templates.confirm_old_address(
                user.email, token=token, requested_at=requested_at, ip=ip, valid_for=valid_for
            ),
        )

    async def email_changed(self, user: User, to: str, *, at: datetime, ip: str) -> None:
        """Tell an address that it is no longer its account's."""
        await self._tell(user, self._templates.email_changed(to, at=at, ip=ip))

    async def deletion_asked(self, user: User, *, at: datetime, ip: str, deletion_at: datetime) -> None:
        """Tell the user that their account will be deleted, and until when they can take that back."""
        await self._tell(user, self._templates.deletion_asked(user.email, at=at, ip=ip, deletion_at=deletion_at))

    async def deletion_taken_back(self, user: User, *, at: datetime, ip: str) -> None:
        """Tell the user that their account stays."""
        await self._tell(user, self._templates.deletion_taken_back(user.email, at=at, ip=ip))

    async def passkey_added(self, user: User, *, at: datetime, ip: str) -> None:
        """Tell the user that a passkey was added."""
        await self._tell(user, self._templates.passkey_changed(user.email, "passkey_added", at=at, ip=ip))

    async def passkey_removed(self, user: User, *, at: datetime, ip: str) -> None:
        """Tell the user that a passkey was removed."""
        await self._tell(user, self._templates.passkey_changed(user.email, "passkey_removed", at=at, ip=ip))

    async def passkey_copied(self, user: User, *, at: datetime, ip: str) -> None:
        """Tell the user that a passkey was refused because it looks like a copy."""
        await self._tell(user, self._templates.passkey_changed(user.email, "passkey_copied", at=at, ip=ip))

    async def new_login(
        self, user: User, *, session: Session, news: tuple[str, ...], token: str, valid_for: timedelta
    ) -> None:
        """Tell the user of a login from a device or a country that is new, with a link that ends it."""
        await self._queue(
            user,
            self._templates.new_login(user.email, session=session, news=news, token=token, valid_for=valid_for),
        )

    async def login_denied(self, user: User, *, approval: Approval, at: datetime, wrong_number: bool) -> None:
        """Tell the user that a login that had passed its first step was denied on a device of theirs."""
        await self._tell(
            user, self._templates.login_denied(user.email, approval=approval, at=at, wrong_number=wrong_number)
        )

    async def approval_changed(self, user: User, *, allowed: bool, at: datetime, ip: str) -> None:
        """Tell the user that logins may be approved on their devices from now on, or not any more."""
        await self._tell(user, self._templates.approval_changed(user.email, allowed=allowed, at=at, ip=ip))

    async def roles_changed(self, user: User, *, at: datetime) -> None:
        """Tell the user which roles they have now."""
        await self._tell(user, self._templates.roles_changed(user.email, roles=user.roles, at=at))

    async def account_locked(self, user: User, *, at: datetime) -> None:
        """Tell the user that an administrator locked their account."""
        await self._tell(user, self._templates.account_locked(user.email, at=at))

    async def account_unlocked(self, user: User, *, at: datetime) -> None:
        """Tell the user that they can log in again."""
        await self._tell(user, self._templates.account_unlocked(user.email, at=at))

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        """Tell the session's user that a refresh token of theirs was used twice."""
        with self._best_effort(session.user_id):
            user = await self._users.by_id(session.user_id)
            if user is not None:
                await self._queue(user, self._templates.refresh_reused(user.email, session=session, at=now))

    async def second_factor_changed(self, user: User, change: FactorChange, *, ip: str, now: datetime) -> None:
        """Tell the user what was changed about their second factors."""
        await self._tell(user, self._templates.second_factor_changed(user.email, change, at=now, ip=ip))

    async def recovery_code_used(self, user: User, *, left: int, now: datetime) -> None:
        """Tell the user that one of their recovery codes was used."""
        await self._tell(user, self._templates.recovery_code_used(user.email, left=left, at=now))

    async def second_factor_failed(self, user: User, *, ip: str, now: datetime) -> None:
        """Tell the user that somebody who gave their first factor could not give their second."""
        await self._tell(user, self._templates.second_factor_failed(user.email, at=now, ip=ip))

    async def identity_changed(
        self, user: User, change: IdentityChange, *, provider: str, ip: str, now: datetime
    ) -> None:
        """Tell the user which provider was linked to their account, or taken off it."""
        await self._tell(
            user, self._templates.identity_changed(user.email, change, provider=provider, at=now, ip=ip)
        )

    async def phone_changed(self, user: User, change: PhoneChange, *, number: str, ip: str, now: datetime) -> None:
        """Tell the user that a phone number was added to their account, or taken off it."""
        await self._tell(user, self._templates.phone_changed(user.email, change, number=number, at=now, ip=ip))

    async def _tell(self, user: User, mail: Mail) -> None:
        with self._best_effort(user.user_id):
            await self._queue(user, mail)

    @contextlib.contextmanager
    def _best_effort(self, user_id: str) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            self._metrics.jobs.labels("notice", "failed").inc()
            log.exception("user_not_told", user_id=user_id)

    async def _queue(self, user: User, mail: Mail) -> None:
        await self._jobs.enqueue_mail(mail, user_id=user.user_id)
