"""Sends facts to webhook endpoints: at least once, in order for each user.

Each endpoint has a task of its own, which sends to few users at a time: a slow or dead receiver delays nobody
else. What is not accepted is stored (auth/stores/webhook_deliveries.py) and repeated with growing pauses for three
days. After some failures in a row an endpoint counts as dead: then one request is sent per pause, as a test. An
endpoint that asks for a pause, or is overloaded, gets nothing meanwhile (webhook_pauses.py).
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from auth.backends.webhook_pauses import GIVE_UP, LONGEST_TEST_PAUSE, asked_pause, pause_after
from auth.backends.webhook_requests import WebhookRequests, wants
from auth.core.errors import Unavailable
from auth.core.facts import StoredFact
from auth.core.tasks import end
from auth.core.webhooks import DeliveryState, Webhook, WebhookDelivery
from auth.crypto.sealing import SealBroken
from auth.platform.http_client import HttpClient
from auth.services import Operation, Services
from auth.stores.facts import FactStore
from auth.stores.webhook_deliveries import WebhookDeliveries
from auth.stores.webhooks import MAX_WEBHOOKS, WebhookStore

ROUND_SECONDS = 1.0
# How often the list of endpoints is read.
LIST_SECONDS = 2.0
PAGE = 100
# Requests to one endpoint at a time.
AT_ONCE = 8
# Failures in a row after which an endpoint counts as dead.
DEAD_AFTER = 5
SWEEP_SECONDS = 60.0
# Of an endpoint that accepts, how old the shown time of the last success may be.
NOTED_EVERY = timedelta(minutes=1)
# Of a receiver's answer only the status counts; a longer one is a failure.
MAX_REPLY_BYTES = 64 * 1024

log = structlog.get_logger()


def webhook_client(*, allow_private: bool) -> HttpClient:
    """A client for URLs that administrators choose.

    It has as many connections as all endpoints together use, also if they are on one host: an endpoint that waited
    for a connection would be taken for one that does not answer.
    """
    return HttpClient(only_public=not allow_private, per_host=MAX_WEBHOOKS * AT_ONCE, max_bytes=MAX_REPLY_BYTES)


@dataclass(slots=True)
class _Health:
    """How an endpoint does."""

    failures: int
    paused_until: datetime | None
    last_success_at: datetime | None

    def is_dead(self) -> bool:
        return self.failures >= DEAD_AFTER

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now


class WebhookSender(Operation):
    """Sends to every endpoint, while this node has the lease (fact_relay.py)."""

    def __init__(
        self,
        services: Services,
        *,
        webhooks: WebhookStore,
        deliveries: WebhookDeliveries,
        facts: FactStore,
        requests: WebhookRequests,
        web: HttpClient,
        facts_kept: timedelta,
    ) -> None:
        super().__init__(services)
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._facts = facts
        self._requests = requests
        self._web = web
        self._facts_kept = facts_kept
        # The number of the last fact, asked for once for all endpoints.
        self._newest = 0
        self._metrics.begin(self._metrics.webhook_requests, "accepted", "failed")

    async def run(self, appended: asyncio.Event) -> None:
        """Send until cancelled. `appended` is set when there are new facts."""
        news = asyncio.Condition()
        tasks: dict[str, asyncio.Task[None]] = {}
        appended.set()  # facts of other nodes, before this one had the lease
        try:
            while True:
                try:
                    await self._look(appended, tasks, news)
                except Exception as error:  # a defect must not end it
                    if not isinstance(error, Unavailable):
                        log.exception("webhooks_failed")
                    appended.set()
                    await asyncio.sleep(ROUND_SECONDS)
                    continue
                async with news:
                    news.notify_all()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LIST_SECONDS):
                        await appended.wait()
        finally:
            await end(*tasks.values())

    async def _look(
        self, appended: asyncio.Event, tasks: dict[str, asyncio.Task[None]], news: asyncio.Condition
    ) -> None:
        """Read the number of the last fact, if there are new ones, and serve the endpoints that there are."""
        if appended.is_set():
            appended.clear()
            self._newest = await self._facts.last()
        wanted = set(await self._webhooks.ids())
        for webhook_id in wanted - tasks.keys():
            tasks[webhook_id] = asyncio.create_task(self._serve(webhook_id, news))
        for webhook_id in tasks.keys() - wanted:
            await end(tasks.pop(webhook_id))

    async def _serve(self, webhook_id: str, news: asyncio.Condition) -> None:
        swept_at = float("-inf")
        while True:
            is_busy = False
            try:
                now = asyncio.get_running_loop().time()
                if now - swept_at > SWEEP_SECONDS:
                    swept_at = now
                    await self._sweep(webhook_id)
                is_busy = await self._round(webhook_id)
            except Unavailable:
                log.warning("webhook_delayed", webhook=webhook_id)
            except Exception:  # a defect must not end it
                log.exception("webhook_failed", webhook=webhook_id)
            if not is_busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROUND_SECONDS), news:
                        await news.wait()

    async def _sweep(self, webhook_id: str) -> None:
        now = self._clock()
        if given_up := await self._deliveries.give_up(webhook_id, stored_by=now - GIVE_UP):
            log.error("webhook_given_up", webhook=webhook_id, facts=given_up)
        await self._deliveries.promote_orphans(webhook_id, now=now)

    async def _round(self, webhook_id: str) -> bool:
        """Send what is due, then new facts; whether there may be more now."""
        webhook = await self._webhooks.get(webhook_id)
        if webhook is None:
            return False
        now = self._clock()
        health = _Health(webhook.failures, webhook.paused_until, webhook.last_success_at)
        busy = False
        if not health.is_paused(now):
            due = await self._deliveries.due(webhook_id, now=now, limit=1 if health.is_dead() else PAGE)
            await self._repeat(webhook, due, health)
            busy = bool(due)
        if self._newest > webhook.number:
            page = await self._facts.after(webhook.number, limit=PAGE)
            await self._send_new(webhook, [each for each in page.facts if wants(webhook, each.fact.type)], health)
            await self._webhooks.advance(webhook_id, page.last)
            busy = busy or len(page.facts) == PAGE
        return busy

    async def _repeat(self, webhook: Webhook, due: Sequence[WebhookDelivery], health: _Health) -> None:
        facts = await self._facts.get([each.number for each in due]) if due else {}
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(each: WebhookDelivery) -> None:
            async with turns:
                if health.is_paused(self._clock()):
                    return  # by an answer to another of these; it stays due
                stored = facts.get(each.number)
                error = await self._post(webhook, stored, health) if stored else None
                now = self._clock()
                give_up = error is not None and now - each.stored_at >= GIVE_UP
                if error is None or give_up:
                    # Before it is removed, so that a node that dies in between leaves nobody behind nobody.
                    await self._deliveries.promote(webhook.webhook_id, each.user_id, now=now)
                if error is None:
                    await self._deliveries.done(webhook.webhook_id, each.number)
                else:
                    due_at = now + pause_after(each.attempts + 1)
                    await self._deliveries.failed(
                        webhook.webhook_id, each.number, error=error, due_at=due_at, give_up=give_up
                    )

        await _all(one(each) for each in due)

    async def _send_new(self, webhook: Webhook, facts: Sequence[StoredFact], health: _Health) -> None:
        """Send new facts, those of a user one after another; store those that are not accepted."""
        by_user = {
            user_id: list(each)
            for user_id, each in itertools.groupby(
                sorted(facts, key=_user_key), key=lambda each: each.fact.user_id
            )
        }
        behind = await self._deliveries.users_waiting(webhook.webhook_id, list(by_user)) if by_user else set()
        turns = asyncio.Semaphore(AT_ONCE)

        async def of_user(user_id: str | None, theirs: list[StoredFact]) -> None:
            async with turns:
                error, attempts = None, 0
                if user_id not in behind and not health.is_dead():
                    while theirs and not health.is_paused(self._clock()):
                        error = await self._post(webhook, theirs[0], health)
                        if error is not None:
                            attempts = 1
                            break
                        theirs.pop(0)
                await self._store(webhook, theirs, attempts, error, is_behind=user_id in behind)

        await _all(of_user(user_id, theirs) for user_id, theirs in by_user.items())

    async def _store(
        self, webhook: Webhook, facts: Sequence[StoredFact], attempts: int, error: str | None, *, is_behind: bool
    ) -> None:
        now = self._clock()

        def delivery(place: int, stored: StoredFact) -> WebhookDelivery:
            is_first = place == 0 and not is_behind
            state: DeliveryState = "waiting" if is_first else "behind"
            return WebhookDelivery(
                webhook_id=webhook.webhook_id,
                number=stored.number,
                type=stored.fact.type.value,
                user_id=stored.fact.user_id,
                state=state,
                attempts=attempts if is_first else 0,
                stored_at=now,
                due_at=now + pause_after(attempts) if is_first and attempts else now,
                last_error=error if is_first else None,
            )

        stored = [delivery(place, each) for place, each in enumerate(facts)]
        await self._deliveries.store(stored, remove_at=now + self._facts_kept)

    async def _post(self, webhook: Webhook, stored: StoredFact, health: _Health) -> str | None:
        """Send one request; return what went wrong, or None if it was accepted."""
        pause = timedelta()
        try:
            request = self._requests.make(webhook, stored)
            reply = await self._web.post_bytes(webhook.url, body=request.body, headers=request.headers)
            error = None if 200 <= reply.status < 300 else f"answered {reply.status}"
            pause = asked_pause(reply.status, reply.retry_after, failures=health.failures + 1, now=self._clock())
        except Unavailable:
            error = "no answer in time, or its address is not allowed"
        except SealBroken:
            error = "its secret was sealed under another root secret"
        self._metrics.webhook_requests.labels("accepted" if error is None else "failed").inc()
        now = self._clock()
        if error is None:
            last = health.last_success_at
            if health.failures or last is None or now - last >= NOTED_EVERY:
                health.last_success_at = now
                await self._webhooks.note(
                    webhook.webhook_id, {"failures": 0, "pausedUntil": None, "lastSuccessAt": now}
                )
            health.failures, health.paused_until = 0, None
            return None
        health.failures += 1
        if health.is_dead():
            pause = max(pause, pause_after(health.failures - DEAD_AFTER + 1, longest=LONGEST_TEST_PAUSE))
        if pause:
            health.paused_until = now + pause
        changes = {"failures": health.failures, "pausedUntil": health.paused_until, "lastError": error}
        await self._webhooks.note(webhook.webhook_id, changes)
        log.warning("webhook_not_accepted", webhook=webhook.webhook_id, fact=stored.number, error=error)
        return error


def _user_key(stored: StoredFact) -> tuple[str, int]:
    return stored.fact.user_id or "", stored.number


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Wait for all of them, then raise the first exception."""
    for done in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done
