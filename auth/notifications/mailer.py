"""Mails to users: composed here and sent by the job queue, so that no request waits for a mail server."""

import contextlib
from collections.abc import Iterator
from datetime import datetime

import structlog

from auth.core.errors import Unavailable
from auth.core.models import Session, User
from auth.notifications.job_queue import Jobs
from auth.notifications.mail_contents import AdditionNotice, MailContent, TokenReused
from auth.notifications.mail_templates import MailTemplates
from auth.notifications.undo_links import UndoLinks
from auth.platform.metrics import Metrics
from auth.stores.users.store import Users

log = structlog.get_logger()


class Mailer:
    """Queues mails. Each call returns once the mail is stored in MongoDB; none waits for a mail server."""

    def __init__(
        self, *, templates: MailTemplates, jobs: Jobs, users: Users, undo: UndoLinks, metrics: Metrics
    ) -> None:
        self._templates = templates
        self._undo = undo
        self._jobs = jobs
        self._users = users
        self._failed = metrics.jobs.labels("notice", "failed")

    async def send(self, user: User, content: MailContent, *, to: str | None = None) -> None:
        """Mail the user, at `to` instead of the account's address if given. Raises `Unavailable`.

        Use it for mails with a link that the user needs.
        """
        undo = (
            await self._undo.issue(user, content.added, now=content.at)
            if isinstance(content, AdditionNotice)
            else None
        )
        mail = self._templates.compose(to or user.email, content, undo=undo)
        await self._jobs.enqueue_mail(mail, user_id=user.user_id)

    async def tell(self, user: User, content: MailContent, *, to: str | None = None) -> None:
        """Notify the user of a completed act; like `send`, but never raises.

        The act is done; reporting a failure would make the client repeat it.
        """
        with self._best_effort(user.user_id):
            await self.send(user, content, to=to)

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        """Notify the session's user that a refresh token was reused; never raises."""
        with self._best_effort(session.user_id):
            user = await self._users.by_id(session.user_id)
            if user is not None:
                notice = TokenReused(
                    device=session.device, ip=session.ip, logged_in_at=session.logged_in_at, at=now
                )
                await self.send(user, notice)

    @contextlib.contextmanager
    def _best_effort(self, user_id: str) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            self._failed.inc()
            log.exception("user_not_told", user_id=user_id)
