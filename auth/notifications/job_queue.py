"""Background jobs for mail and SMS: a SAQ queue on Redis, backed by MongoDB so that no message is lost with Redis.

A message is stored in MongoDB first (auth/stores/outbox.py). The job carries only its id, so Redis never holds an
address, text or link. A worker claims the message in MongoDB before sending it, so running a job twice is
harmless. While Redis is down, or after it has lost its data, a sweep of MongoDB every few seconds finds pending
messages and sends them without the queue.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from saq import Job, Worker
from saq.queue.redis import RedisQueue

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.mail import Mail
from auth.notifications.smtp import MailNotSent, MailRefused, MailSender
from auth.platform.logs import log_context
from auth.platform.metrics import Metrics
from auth.platform.periodic_tasks import PeriodicTask, one_item
from auth.platform.redis.address import read_address
from auth.platform.redis.discovery import pool_to_master
from auth.stores.outbox import Claim, OutboxStore

if TYPE_CHECKING:
    from auth.platform.tracing import Tracing

log = structlog.get_logger()

SEND_MAIL = "send_mail"
# The outcome of one attempt to send a mail; `failed` is final.
MailOutcome = Literal["sent", "deferred", "failed", "skipped"]
CONCURRENCY = 4
# Short, because a stopping worker waits this long.
DEQUEUE_SECONDS = 0.3
REDIS_SECONDS = 1.0
STOP_SECONDS = 4
SWEEP_SECONDS = 5.0
PAUSE_SECONDS = 1.0
# Without a failure for so long, the queue is up again.
QUIET_SECONDS = 3.0

# A claim outlasts the longest attempt; afterwards another worker may send the mail.
JOB_SECONDS = 45
CLAIM = timedelta(seconds=60)
# SAQ retries with growing, jittered pauses; after it gives up or loses the job, the sweep retries for a day.
JOB_TRIES = 6
JOB_PAUSE_SECONDS = 2.0
JOB_LONGEST_PAUSE_SECONDS = 120.0
FIRST_SWEEP = timedelta(seconds=15)
LONGEST_SWEEP = timedelta(minutes=15)
GIVE_UP = timedelta(hours=24)


class Jobs:
    """The job queue and, optionally, a worker in this process.

    `namespace` separates servers that share a Redis.
    """

    def __init__(
        self,
        *,
        redis_url: str,
        namespace: str,
        outbox: OutboxStore,
        sender: MailSender,
        metrics: Metrics,
        clock: Clock,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._redis_url = redis_url
        # Tagged, so that a cluster keeps all keys of the queue together.
        self._name = f"{{{namespace}:jobs}}"
        self._outbox = outbox
        self._sender = sender
        self._metrics = metrics
        self._counters = {outcome: metrics.jobs.labels(SEND_MAIL, outcome) for outcome in get_args(MailOutcome)}
        self._clock = clock
        self._tracing = tracing
        self._queue: _Queue | None = None
        self._worker: _Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._sweeper: PeriodicTask | None = None

    async def start(self, *, work: bool = True) -> None:
        """Open the queue and, if `work`, run its jobs in this process. Succeeds without Redis and MongoDB."""
        self._queue = _Queue(self._redis_url, self._name)
        if not work:
            return
        self._worker = _Worker(
            self._queue,
            [(SEND_MAIL, self._send_mail if self._tracing is None else self._send_mail_traced)],
            concurrency=CONCURRENCY,
            dequeue_timeout=DEQUEUE_SECONDS,
            shutdown_grace_period_s=STOP_SECONDS,
        )
        self._running = asyncio.create_task(self._worker.start(), name="jobs-worker")
        self._sweeper = PeriodicTask("mails", self._sweep, every_seconds=SWEEP_SECONDS)
        self._sweeper.start()

    async def stop(self) -> None:
        """Stop taking jobs, wait some seconds for running ones, and close the queue."""
        if self._queue is not None:
            self._queue.closing.set()
        if self._sweeper is not None:
            await self._sweeper.close()
        if self._worker is not None and self._running is not None:
            self._worker.event.set()
            await asyncio.wait({self._running}, timeout=STOP_SECONDS + 2)
        waiting = set(self._tasks)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=1)
        if self._queue is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(REDIS_SECONDS):
                    await self._queue.disconnect()
        self._queue = self._worker = self._running = self._sweeper = None

    async def enqueue_mail(self, mail: Mail, *, user_id: str, give_up_after: timedelta = GIVE_UP) -> None:
        """Store a mail for sending. Returns once it is in MongoDB; never waits for Redis or a mail server.

        `user_id`: the account it concerns; it is erased with that account.

        Raises `Unavailable` when MongoDB is down; then nothing was stored.
        """
        now = self._clock()
        await self._outbox.add(
            mail, user_id=user_id, now=now, due_at=now + FIRST_SWEEP, give_up_at=now + give_up_after
        )
        self._start_task(self._enqueue_or_deliver(mail.message_id))

    async def measure(self) -> None:
        """Update the queue depth in the metrics."""
        with contextlib.suppress(Unavailable):
            self._metrics.jobs_queued.set(await self._outbox.pending())

    async def depth(self) -> Mapping[str, int]:
        """The number of jobs in Redis: `queued`, `active`, and `scheduled` for later. Raises `Unavailable`."""
        if self._queue is None:
            raise Unavailable
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                info = await self._queue.info()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable from error
        return {state: max(info[state], 0) for state in ("queued", "active", "scheduled")}

    def open_another_queue(self) -> RedisQueue:
        """A second view of the queue with its own connections, for the dashboard."""
        return _Queue(self._redis_url, self._name)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _enqueue_or_deliver(self, message_id: str) -> None:
        """Queue the job. If Redis is down and this process is a worker, send the mail immediately."""
        if not await self._enqueue(message_id) and self._worker is not None:
            await self._try_to_deliver(message_id)

    async def _enqueue(self, message_id: str) -> bool:
        """Queue the job and return whether Redis took it. The id is the key, so a mail is never queued twice."""
        if self._queue is None:
            return False
        job = Job(
            SEND_MAIL,
            # SAQ marks aborted jobs by key alone, across all queues of a Redis.
            key=f"{self._name}:{message_id}",
            kwargs={"message_id": message_id},
            timeout=JOB_SECONDS,
            retries=JOB_TRIES,
            retry_delay=JOB_PAUSE_SECONDS,
            retry_backoff=JOB_LONGEST_PAUSE_SECONDS,
            ttl=-1,
            meta=self._tracing.carrier() if self._tracing else {},
        )
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._queue.enqueue(job)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def _send_mail(self, _: Any, *, message_id: str) -> None:
        """The job. Raises `MailNotSent` so that SAQ retries it."""
        await self._deliver(message_id)

    async def _send_mail_traced(self, context: Any, *, message_id: str) -> None:
        assert self._tracing is not None
        parent = self._tracing.parent_in(context["job"].meta)
        with self._tracing.entry("job", SEND_MAIL, parent) as span, log_context(**self._tracing.ids_of(span)):
            await self._deliver(message_id)

    async def _try_to_deliver(self, message_id: str) -> None:
        # The failure has been logged and counted; the sweep will find the mail again.
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
        except Exception as error:  # a bug in a sender: defer this mail like any other
            log.exception("mail_failed", kind=claim.mail.kind, message_id=message_id)
            self._count("deferred")
            await self._defer(claim)
            raise MailNotSent(type(error).__name__) from None
        else:
            self._count("sent")
            await self._outbox.mark_sent(message_id, now=self._clock())

    async def _defer(self, claim: Claim) -> None:
        now = self._clock()
        pause = min(FIRST_SWEEP * 2 ** min(claim.attempt, 10), LONGEST_SWEEP)
        await self._outbox.defer(claim.mail.message_id, now=now, due_at=now + pause)

    async def _sweep(self) -> int:
        """Queue due mails, or send them directly while Redis is down; mark expired ones as failed.

        Returns how many were due. Raises `Unavailable`.
        """
        now = self._clock()
        given_up = await self._outbox.give_up(now=now)
        if given_up:
            log.error("mails_given_up", count=given_up)
            self._count("failed", given_up)
        is_redis_up, taken = True, 0
        for message_id in await self._outbox.due(now=now):
            with one_item("mails", message_id=message_id):
                # Another node's sweep or a worker may have claimed it first.
                if not await self._outbox.postpone(message_id, now=now, due_at=now + CLAIM):
                    continue
                taken += 1
                is_redis_up = is_redis_up and await self._enqueue(message_id)
                if not is_redis_up:
                    await self._try_to_deliver(message_id)
        await self.measure()
        return taken

    def _count(self, outcome: MailOutcome, mails: int = 1) -> None:
        self._counters[outcome].inc(mails)


class _Queue(RedisQueue):
    """SAQ's queue, made to tolerate a Redis outage: it pauses and logs once instead of spinning.

    All of its keys are on one master, which is looked up whenever a connection is opened.
    """

    def __init__(self, url: str, name: str) -> None:
        pool = pool_to_master(
            read_address(url),
            key=name,
            seconds=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            socket_timeout=DEQUEUE_SECONDS + REDIS_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        super().__init__(redis.asyncio.Redis(connection_pool=pool), name=name)
        self.closing = asyncio.Event()
        self._down = False
        self._failed_at = 0.0

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Job | None:
        """Return the next job; None after `timeout`, or after a pause while Redis is down.

        Must not be cancelled while it waits: Redis could hand out a job at that moment, and it would be lost.
        """
        job: Job | None = await self.guarded(super().dequeue(timeout, poll_interval))
        return job

    async def disconnect(self) -> None:
        """Close the connections without sending a command, because Redis may not answer."""
        await self._pubsub.pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()

    async def guarded(self, call: Awaitable[Any]) -> Any:
        """Return the call's result; None, after a pause, if Redis is down or the call failed."""
        try:
            result = await call
        except (RedisError, OSError, TimeoutError) as error:
            if not self._down and not self.closing.is_set():
                log.warning("job_queue_down", error=type(error).__name__)
            self._down, self._failed_at = True, time.monotonic()
            # The queue may be on another master now.
            await self.redis.connection_pool.disconnect(inuse_connections=False)
            await self._pause()
            return None
        except Exception:  # an unreadable job must not end the worker or its upkeep tasks
            log.exception("job_queue_failed")
            await self._pause()
            return None
        # A Redis that refuses only writes answers some calls of each second.
        if self._down and time.monotonic() - self._failed_at > QUIET_SECONDS:
            log.info("job_queue_up")
            self._down = False
        return result

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), PAUSE_SECONDS)


class _Worker(Worker[Any]):
    """SAQ's worker embedded in our process: it handles no signals and stops when asked."""

    SIGNALS = []  # noqa: RUF012 - SAQ reads it from the class

    def __init__(self, queue: _Queue, functions: list[tuple[str, Callable[..., Any]]], **options: Any) -> None:
        super().__init__(queue, functions, **options)
        self._guarded_queue = queue

    async def process(self) -> bool:
        """Fetch and run one job."""
        return bool(await self._guarded_queue.guarded(super().process()))

    async def upkeep(self) -> list[asyncio.Task[None]]:
        """Start the tasks that schedule retries, reclaim jobs of dead workers, and report this worker."""
        return [
            asyncio.create_task(self._every(1, lambda: self.schedule(1))),
            asyncio.create_task(self._every(60, lambda: self._guarded_queue.sweep(60))),
            asyncio.create_task(self._every(10, lambda: self.worker_info(11))),
        ]

    async def _every(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
        while not self.event.is_set():
            await self._guarded_queue.guarded(work())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), seconds)
