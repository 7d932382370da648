"""What one socket has sent and waits for its turn: one event after the other, in order, and not too many."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

# Events of one socket that wait for their turn: more than a minute's worth by the limit on events, so that one
# is what a burst meets first. A client that sends more than are served is told `rate_limited` all the same.
MAX_INBOX = 128
MAX_INBOX_BYTES = 256 * 1024

Job = Callable[[], Awaitable[None]]

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Inbox:
    """A socket as far as its events are queued."""

    socket_id: str
    inbox: deque[tuple[Job, int]] | None = field(default=None, kw_only=True)
    worker: asyncio.Task[None] | None = field(default=None, kw_only=True)

    def enqueue(self, job: Job, *, size: int = 0) -> bool:
        """Run `job` after those before it, one at a time; False when too many wait, or too much with them.

        `size`: how many bytes the job came in; what was made of them can take fifty times that.
        """
        if self.worker is None:
            self.worker = asyncio.create_task(self._work(job))
            return True
        if self.inbox is None:
            # Few sockets ever have two events at once; an empty deque for each would be half a kilobyte.
            self.inbox = deque()
        if len(self.inbox) >= MAX_INBOX or sum(each for _, each in self.inbox) + size > MAX_INBOX_BYTES:
            return False
        self.inbox.append((job, size))
        return True

    def forget_inbox(self) -> None:
        """Drop what still waits for its turn."""
        self.inbox = None

    async def _work(self, job: Job) -> None:
        try:
            await self._run(job)
            while self.inbox:
                await self._run(self.inbox.popleft()[0])
        finally:
            self.worker = None
            self.inbox = None

    async def _run(self, job: Job) -> None:
        try:
            await job()
        except Exception:  # a defect of ours; those that wait behind it are served all the same
            log.exception("socket_job_failed", socket_id=self.socket_id)
