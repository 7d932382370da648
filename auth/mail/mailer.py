"""What the server writes to people: composed here, sent by the job queue, so that nobody waits for it."""

from datetime import datetime, timedelta

from auth.jobs import Jobs
from auth.mail.templates import MailTemplates
from auth.models import Session, User
from auth.stores.users import Users
from auth.two_factor import FactorChange


class Mailer:
    """Queues mails. Each call returns once the mail is safe in MongoDB; none waits for a mail server."""

    def __init__(self, *, templates: MailTemplates, jobs: Jobs, users: Users) -> None:
        self._templates = templates
        self._jobs = jobs
        self._users = users

    async def verify_address(
        self, user: User, *, token: str, requested_at: datetime, ip: str | None, valid_for: timedelta
    ) -> None:
        """Mail the link that verifies the user's address."""
        await self._jobs.enqueue_mail(
            self._templates.verify_address(
                user.email, token=token, requested_at=requested_at, ip=ip, valid_for=valid_for
            )
        )

    async def already_registered(self, user: User, *, requested_at: datetime, ip: str) -> None:
        """Tell the user that somebody registered their address again."""
        await self._jobs.enqueue_mail(
            self._templates.already_registered(user.email, requested_at=requested_at, ip=ip)
        )

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        """Tell the session's user that a refresh token of theirs was used twice."""
        user = await self._users.by_id(session.user_id)
        if user is not None:
            await self._jobs.enqueue_mail(self._templates.refresh_reused(user.email, session=session, at=now))

    async def second_factor_changed(self, user: User, change: FactorChange, *, ip: str, now: datetime) -> None:
        """Tell the user what was changed about their second factors."""
        await self._jobs.enqueue_mail(self._templates.second_factor_changed(user.email, change, at=now, ip=ip))

    async def recovery_code_used(self, user: User, *, left: int, now: datetime) -> None:
        """Tell the user that one of their recovery codes was used."""
        await self._jobs.enqueue_mail(self._templates.recovery_code_used(user.email, left=left, at=now))
