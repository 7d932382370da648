"""Per-socket event queue: runs a socket's events one at a time, in order, and bounds the queue."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

# Queue limits of one socket. The event rate limit allows fewer events per minute than this, so a burst reaches
# that limit first; when the queue is full, events are also refused with `rate_limited`.
MAX_INBOX = 128
MAX_INBOX_BYTES = 256 * 1024

Job = Callable[[], Awaitable[object]]

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class EventQueue:
    """The queued events of one socket."""

    socket_id: str
    inbox: deque[tuple[Job, int]] | None = field(default=None, kw_only=True)
    worker: asyncio.Task[None] | None = field(default=None, kw_only=True)

    def enqueue(self, job: Job, *, size: int = 0) -> bool:
        """Run `job` after the earlier ones; False if the queue is full by number or by bytes.

        `size`: the event's size in bytes as received; decoded it can take fifty times as much memory.
        """
        if self.worker is None:
            self.worker = asyncio.create_task(self._work(job))
            return True
        if self.inbox is None:
            # Few sockets ever have two events at once; an empty deque per socket would take half a kilobyte.
            self.inbox = deque()
        if len(self.inbox) >= MAX_INBOX or sum(each for _, each in self.inbox) + size > MAX_INBOX_BYTES:
            return False
        self.inbox.append((job, size))
        return True

    def forget_inbox(self) -> None:
        """Drop all queued events."""
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
        except Exception:  # a bug in one job must not stop the following ones
            log.exception("socket_job_failed", socket_id=self.socket_id)
