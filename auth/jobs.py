"""Background jobs: mail, and SMS like it, leaves through a SAQ queue on Redis, and is never lost with it.

A mail is written to MongoDB first (stores/outbox.py); the job carries its id and nothing else, so that no
address, text or link is ever in Redis. Whoever runs the job claims the mail in MongoDB, which makes a job
that runs twice harmless. While Redis is down, or after it lost its memory, pending mails are found by a
sweep of MongoDB every few seconds and sent without it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from saq import Job, Worker
from saq.queue.redis import RedisQueue

from auth.clock import Clock
from auth.errors import Unavailable
from auth.mail.message import Mail
from auth.mail.senders import MailNotSent, MailRefused, MailSender
from auth.metrics import Metrics
from auth.stores.outbox import Claim, Outbox

log = structlog.get_logger()

SEND_MAIL = "send_mail"
CONCURRENCY = 4
# Short, for the worker stops at the end of it.
DEQUEUE_SECONDS = 0.3
REDIS_SECONDS = 1.0
STOP_SECONDS = 4
SWEEP_SECONDS = 5.0
PAUSE_SECONDS = 1.0

# A claim outlives the longest try; then somebody else may send the mail.
JOB_SECONDS = 45
CLAIM = timedelta(seconds=60)
# SAQ tries again with growing, jittered pauses; when it gives up, or forgets, the sweep goes on for a day.
JOB_TRIES = 6
JOB_PAUSE_SECONDS = 2.0
JOB_LONGEST_PAUSE_SECONDS = 120.0
FIRST_SWEEP = timedelta(seconds=15)
LONGEST_SWEEP = timedelta(minutes=15)
GIVE_UP = timedelta(hours=24)


class Jobs:
    """The queue, and a worker for it where this process is to have one.

    `namespace` keeps servers that share a Redis apart.
    """

    def __init__(
        self,
        *,
        redis_url: str,
        namespace: str,
        outbox: Outbox,
        sender: MailSender,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._redis_url = redis_url
        self._name = f"{namespace}:jobs"
        self._outbox = outbox
        self._sender = sender
        self._metrics = metrics
        self._clock = clock
        self._queue: _Queue | None = None
        self._worker: _Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, *, work: bool = True) -> None:
        """Open the queue; with `work`, also run its jobs in this process. Needs neither Redis nor MongoDB."""
        self._queue = _Queue(self._redis_url, self._name)
        if not work:
            return
        self._worker = _Worker(
            self._queue,
            [(SEND_MAIL, self._send_mail)],
            concurrency=CONCURRENCY,
            dequeue_timeout=DEQUEUE_SECONDS,
            shutdown_grace_period_s=STOP_SECONDS,
        )
        self._running = asyncio.create_task(self._worker.start(), name="jobs-worker")
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="jobs-sweep")

    async def stop(self) -> None:
        """Stop taking jobs, wait some seconds for those that run, and close the queue."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._queue is not None:
            self._queue.closing.set()
        if self._worker is not None and self._running is not None:
            self._worker.event.set()
            await asyncio.wait({self._running}, timeout=STOP_SECONDS + 2)
        waiting = {task for task in (*self._tasks, self._sweeping) if task is not None}
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=1)
        if self._queue is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(REDIS_SECONDS):
                    await self._queue.disconnect()
        self._queue = self._worker = self._running = self._sweeping = None

    async def enqueue_mail(self, mail: Mail, *, user_id: str, give_up_after: timedelta = GIVE_UP) -> None:
        """Take a mail over. Returns when it is safe in MongoDB, and never waits for Redis or a mail server.

        `user_id` is whose account it is about, with which it is erased.

        Raises `Unavailable` when MongoDB is down: then nothing was taken.
        """
        now = self._clock()
        await self._outbox.add(
            mail, user_id=user_id, now=now, due_at=now + FIRST_SWEEP, give_up_at=now + give_up_after
        )
        self._in_background(self._hand_over(mail.message_id))

    async def measure(self) -> None:
        """Bring the queue's depth up to date in the metrics."""
        with contextlib.suppress(Unavailable):
            self._metrics.jobs_queued.set(await self._outbox.pending())

    async def depth(self) -> Mapping[str, int]:
        """How many jobs Redis has: `queued`, `active`, and `scheduled` for later. Raises `Unavailable`."""
        if self._queue is None:
            raise Unavailable
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                info = await self._queue.info()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable from error
        return {state: max(info[state], 0) for state in ("queued", "active", "scheduled")}

    def queue_of_its_own(self) -> RedisQueue:
        """Another view of the queue, with connections of its own, for whoever shows it."""
        return _Queue(self._redis_url, self._name)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, message_id: str) -> None:
        """Queue the job; where Redis is down, do it here and now if this process works at all."""
        if not await self._enqueue(message_id) and self._worker is not None:
            await self._deliver_quietly(message_id)

    async def _enqueue(self, message_id: str) -> bool:
        """Whether Redis has the job. A mail that is queued already is not queued twice: its id is the key."""
        if self._queue is None:
            return False
        job = Job(
            SEND_MAIL,
            # SAQ keeps the marks of aborted jobs by key alone, for all queues of a Redis together.
            key=f"{self._name}:{message_id}",
            kwargs={"message_id": message_id},
            timeout=JOB_SECONDS,
            retries=JOB_TRIES,
            retry_delay=JOB_PAUSE_SECONDS,
            retry_backoff=JOB_LONGEST_PAUSE_SECONDS,
            ttl=-1,
        )
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._queue.enqueue(job)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def _send_mail(self, _: Any, *, message_id: str) -> None:
        """The job. Raises `MailNotSent` to be tried again."""
        await self._deliver(message_id)

    async def _deliver_quietly(self, message_id: str) -> None:
        # What went wrong was logged and counted; the sweep will find the mail again.
        with contextlib.suppress(MailNotSent, Unavailable):
            await self._deliver(message_id)

    async def _deliver(self, message_id: str) -> None:
        now = self._clock()
        claim = await self._outbox.claim(message_id, now=now, until=now + CLAIM)
        if claim is None:
            self._count("skipped")
            return
        try:
            await self._sender.send(claim.mail)
        except MailRefused:
            log.exception("mail_refused", kind=claim.mail.kind, message_id=message_id)
            self._count("failed")
            await self._outbox.mark_failed(message_id, now=self._clock())
        except MailNotSent as error:
            log.warning("mail_not_sent", kind=claim.mail.kind, message_id=message_id, error=str(error))
            self._count("deferred")
            await self._defer(claim)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._defer(claim))
            raise
        else:
            self._count("sent")
            await self._outbox.mark_sent(message_id, now=self._clock())

    async def _defer(self, claim: Claim) -> None:
        now = self._clock()
        pause = min(FIRST_SWEEP * 2 ** min(claim.attempt, 10), LONGEST_SWEEP)
        await self._outbox.defer(claim.mail.message_id, now=now, due_at=now + pause)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self._sweep()
            except Unavailable:
                log.warning("mails_not_swept")
            await asyncio.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        """Queue the mails that are due, or send them without a queue; end those whose time is over."""
        now = self._clock()
        given_up = await self._outbox.give_up(now=now)
        if given_up:
            log.error("mails_given_up", count=given_up)
            self._metrics.jobs.labels(SEND_MAIL, "failed").inc(given_up)
        redis_answers = True
        for message_id in await self._outbox.due(now=now):
            # Another node's sweep, or a worker, may have been quicker.
            if not await self._outbox.postpone(message_id, now=now, due_at=now + CLAIM):
                continue
            redis_answers = redis_answers and await self._enqueue(message_id)
            if not redis_answers:
                await self._deliver_quietly(message_id)
        await self.measure()

    def _count(self, outcome: str) -> None:
        self._metrics.jobs.labels(SEND_MAIL, outcome).inc()


class _Queue(RedisQueue):
    """SAQ's queue, which bears a Redis that is down: it pauses and says so once, instead of spinning."""

    def __init__(self, url: str, name: str) -> None:
        client = redis.asyncio.Redis.from_url(
            url,
            socket_connect_timeout=REDIS_SECONDS,
            socket_timeout=DEQUEUE_SECONDS + REDIS_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        super().__init__(client, name=name)
        self.closing = asyncio.Event()
        self._down = False

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Job | None:
        """The next job, or None after `timeout`, or after a pause with Redis down.

        Never cancelled while it waits: Redis could hand out a job in that moment, and nobody would have it.
        """
        job: Job | None = await self.guarded(super().dequeue(timeout, poll_interval))
        return job

    async def disconnect(self) -> None:
        """Close the connections, asking Redis for nothing: it may be silent."""
        await self._pubsub.pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py
        await self.redis.aclose()

    async def guarded(self, call: Awaitable[Any]) -> Any:
        """The call's result; None, after a pause, when Redis is down."""
        try:
            result = await call
        except (RedisError, OSError, TimeoutError) as error:
            if not self._down and not self.closing.is_set():
                log.warning("job_queue_down", error=type(error).__name__)
            self._down = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), PAUSE_SECONDS)
            return None
        if self._down:
            log.info("job_queue_up")
        self._down = False
        return result


class _Worker(Worker[Any]):
    """SAQ's worker as a guest in our process: our signals stay ours, and it stops when told to."""

    SIGNALS = []  # noqa: RUF012 - SAQ reads it from the class

    def __init__(self, queue: _Queue, functions: list[tuple[str, Callable[..., Any]]], **options: Any) -> None:
        super().__init__(queue, functions, **options)
        self._patient = queue

    async def process(self) -> bool:
        """Take and run one job."""
        return bool(await self._patient.guarded(super().process()))

    async def upkeep(self) -> list[asyncio.Task[None]]:
        """Schedule retries, take back the jobs of dead workers, and report this worker."""
        return [
            asyncio.create_task(self._every(1, lambda: self.schedule(1))),
            asyncio.create_task(self._every(60, lambda: self._patient.sweep(60))),
            asyncio.create_task(self._every(10, lambda: self.worker_info(11))),
        ]

    async def _every(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
        while not self.event.is_set():
            await self._patient.guarded(work())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), seconds)
