"""Mail on its way: through the queue, around a Redis that is down, never lost, never from two at once."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.waiting import eventually

import auth.notifications.job_queue
from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.mail import Mail
from auth.notifications.job_queue import Jobs
from auth.notifications.smtp import MailNotSent, MailRefused, SmtpSender
from auth.platform.metrics import Metrics
from auth.stores.mongo import Mongo
from auth.stores.outbox import OutboxStore


class Postman:
    """Sends into a list; raises first what it is told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.troubles: list[Exception] = []
        self.takes_seconds = 0.0

    async def send(self, mail: Mail) -> None:
        await asyncio.sleep(self.takes_seconds)
        if self.troubles:
            raise self.troubles.pop(0)
        self.sent.append(mail.message_id)


class Office:
    """One database and one Redis, and any number of nodes."""

    def __init__(self, mongo: Mongo, url: str, namespace: str) -> None:
        self.outbox = OutboxStore(mongo.database, keep_content=False)
        self.documents = mongo.database["mails"]
        self.postman = Postman()
        self.metrics = Metrics()
        self.url = url
        self.namespace = namespace
        self.nodes: list[Jobs] = []

    async def node(self, *, work: bool = True, url: str | None = None) -> Jobs:
        jobs = Jobs(
            redis_url=url or self.url,
            namespace=self.namespace,
            outbox=self.outbox,
            sender=self.postman,
            metrics=self.metrics,
            clock=utc_now,
        )
        await jobs.start(work=work)
        self.nodes.append(jobs)
        return jobs

    def count(self, outcome: str) -> float:
        return float(self.metrics.jobs.labels("send_mail", outcome)._value.get())


def a_mail(number: int = 1) -> Mail:
    return Mail(f"{number:032x}", "verify_address", "ada@example.org", "Subject", "secret text", "<p>secret</p>")


# Longer than the first sweep: on a busy machine Redis may answer too late to be handed a job at once.
PATIENCE_SECONDS = 30


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def office(mongo: Mongo, services: Any, redis_prefix: str) -> AsyncIterator[Office]:
    made = Office(mongo, services.redis, redis_prefix)
    yield made
    for node in made.nodes:
        await node.stop()


@pytest.fixture
async def office_on_each(mongo: Mongo, redis_url: str, redis_prefix: str) -> AsyncIterator[Office]:
    made = Office(mongo, redis_url, redis_prefix)
    yield made
    for node in made.nodes:
        await node.stop()


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth.notifications.job_queue, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(auth.notifications.job_queue, "FIRST_SWEEP", timedelta(seconds=0.2))


async def test_a_mail_is_sent_soon_and_then_forgotten(office: Office) -> None:
    node = await office.node()
    await node.enqueue_mail(a_mail(), user_id="ada")
    await until(lambda: office.postman.sent == [a_mail().message_id], seconds=10)
    await until(lambda: office.count("sent") == 1)
    await asyncio.sleep(0.1)
    [document] = await office.documents.find({}).to_list(None)
    assert document["state"] == "sent"
    assert "secret" not in repr(document)


async def test_on_a_server_behind_sentinels_and_on_a_cluster_the_queue_hands_each_mail_to_one_worker(
    office_on_each: Office,
) -> None:
    office = office_on_each
    writer = await office.node(work=False)
    for number in range(20):
        await writer.enqueue_mail(a_mail(number), user_id="ada")

    async def queued() -> bool:
        return (await writer.depth())["queued"] == 20

    await eventually(queued, "the jobs are in the queue", timeout=PATIENCE_SECONDS)
    for _ in range(2):
        await office.node()
    await until(lambda: len(office.postman.sent) >= 20)
    await until(lambda: office.count("sent") == 20)
    assert sorted(office.postman.sent) == [a_mail(number).message_id for number in range(20)]


async def test_a_node_without_a_worker_leaves_the_sending_to_one_that_has(office: Office) -> None:
    writer = await office.node(work=False)
    await writer.enqueue_mail(a_mail(), user_id="ada")
    await asyncio.sleep(0.2)
    assert office.postman.sent == []
    await office.node()
    await until(lambda: len(office.postman.sent) == 1)


async def test_many_workers_send_each_mail_once(office: Office) -> None:
    office.postman.takes_seconds = 0.01
    nodes = [await office.node() for _ in range(3)]
    for number in range(60):
        await nodes[number % 3].enqueue_mail(a_mail(number), user_id="ada")
    await until(lambda: len(office.postman.sent) >= 60)
    await asyncio.sleep(0.3)
    assert sorted(office.postman.sent) == [a_mail(number).message_id for number in range(60)]


async def test_a_job_that_runs_twice_sends_once(office: Office) -> None:
    node = await office.node(work=False)
    await node.enqueue_mail(a_mail(), user_id="ada")
    for _ in range(3):
        await node._send_mail(None, message_id=a_mail().message_id)
    assert len(office.postman.sent) == 1
    assert office.count("skipped") == 2


async def test_asvs_16_5_2_a_mail_server_in_trouble_is_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.notifications.job_queue, "JOB_PAUSE_SECONDS", 0.05)
    office.postman.troubles = [MailNotSent("421"), MailNotSent("421")]
    await (await office.node()).enqueue_mail(a_mail(), user_id="ada")
    await until(lambda: len(office.postman.sent) == 1, seconds=20)
    assert office.count("deferred") == 2


@pytest.mark.usefixtures("quick_sweep")
async def test_a_mail_that_cannot_be_composed_is_refused_once_and_ends_no_sweep(office: Office) -> None:
    nowhere = "redis://127.0.0.1:1"
    sender = SmtpSender(
        url="smtp://127.0.0.1:1",
        public_url="https://vigil.example",
        mail_from="Vigil <vigil@example.org>",
        clock=utc_now,
    )
    poison = replace(a_mail(1), to="=?utf-8?q?a=0d=0ab?=@evil.example")
    for mail in (poison, a_mail(2)):
        now = utc_now()
        await office.outbox.add(mail, user_id="ada", now=now, due_at=now, give_up_at=now + timedelta(days=1))
    office.postman.send = sender.send  # type: ignore[method-assign]
    await office.node(url=nowhere)
    await until(lambda: office.count("failed") == 1 and office.count("deferred") >= 2)
    states = {each["_id"]: each["state"] for each in await office.documents.find({}).to_list(None)}
    assert states == {poison.message_id: "failed", a_mail(2).message_id: "pending"}


@pytest.mark.usefixtures("quick_sweep")
async def test_a_senders_defect_at_one_mail_ends_neither_the_sweep_nor_the_mail(office: Office) -> None:
    office.postman.troubles = [ValueError("a defect")]
    for number in (1, 2):
        now = utc_now()
        await office.outbox.add(
            a_mail(number), user_id="ada", now=now, due_at=now, give_up_at=now + timedelta(days=1)
        )
    await office.node(url="redis://127.0.0.1:1")
    await until(lambda: len(office.postman.sent) == 2)
    assert office.count("deferred") == 1


async def test_a_round_of_the_queues_upkeep_that_fails_does_not_end_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.notifications.job_queue, "PAUSE_SECONDS", 0)
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        raise ValueError("a job that cannot be read")

    node = await office.node()
    assert node._worker is not None
    upkeep = asyncio.create_task(node._worker._every(0.01, work))
    await until(lambda: rounds > 2)
    assert not upkeep.done()
    await node.stop()
    await upkeep


@pytest.mark.usefixtures("quick_sweep")
async def test_what_the_queue_gave_up_the_sweep_does_not(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth.notifications.job_queue, "JOB_TRIES", 1)
    office.postman.troubles = [MailNotSent("421")] * 3
    await (await office.node()).enqueue_mail(a_mail(), user_id="ada")
    await until(lambda: len(office.postman.sent) == 1, seconds=20)


async def test_a_refused_mail_is_given_up_at_once_and_its_text_erased(office: Office) -> None:
    office.postman.troubles = [MailRefused("550")]
    await (await office.node()).enqueue_mail(a_mail(), user_id="ada")
    await until(lambda: office.count("failed") == 1)
    await asyncio.sleep(0.1)
    [document] = await office.documents.find({}).to_list(None)
    assert document["state"] == "failed"
    assert "secret" not in repr(document)
    assert office.postman.sent == []


@pytest.mark.usefixtures("quick_sweep")
async def test_a_mail_is_given_up_after_a_day(office: Office) -> None:
    yesterday = utc_now() - timedelta(days=1)
    await office.outbox.add(a_mail(), user_id="ada", now=yesterday, due_at=yesterday, give_up_at=utc_now())
    await office.node()
    await until(lambda: office.count("failed") == 1)
    assert office.postman.sent == []


@pytest.mark.parametrize("silent", [False, True])
async def test_asvs_16_5_2_with_redis_down_taking_a_mail_is_quick_and_it_is_sent_all_the_same(
    office: Office, cuttable_redis: Any, silent: bool
) -> None:
    node = await office.node(url=cuttable_redis.url)
    await node.enqueue_mail(a_mail(1), user_id="ada")
    await until(lambda: len(office.postman.sent) == 1)
    cuttable_redis.hush() if silent else await cuttable_redis.cut()
    begun = time.perf_counter()
    await node.enqueue_mail(a_mail(2), user_id="ada")
    assert time.perf_counter() - begun < 0.9
    await until(lambda: len(office.postman.sent) == 2, seconds=20)


@pytest.mark.usefixtures("quick_sweep")
async def test_a_node_without_a_worker_loses_no_mail_to_redis(office: Office, cuttable_redis: Any) -> None:
    writer = await office.node(work=False, url=cuttable_redis.url)
    await cuttable_redis.cut()
    await writer.enqueue_mail(a_mail(), user_id="ada")
    await asyncio.sleep(0.3)
    assert office.postman.sent == []
    await office.node()
    await until(lambda: len(office.postman.sent) == 1)


@pytest.mark.usefixtures("quick_sweep")
async def test_a_queue_that_lost_its_memory_loses_no_mail(office: Office, redis_client: Any) -> None:
    await (await office.node(work=False)).enqueue_mail(a_mail(), user_id="ada")
    await asyncio.sleep(0.2)
    keys = [key async for key in redis_client.scan_iter(f"*{office.namespace}*")]
    assert keys
    [job] = [await redis_client.get(key) for key in keys if b"saq:job:" in key]
    assert b"ada" not in job
    assert b"secret" not in job
    await redis_client.delete(*keys)
    await office.node()
    await until(lambda: len(office.postman.sent) == 1)


async def test_a_worker_takes_up_again_when_redis_is_back(office: Office, cuttable_redis: Any) -> None:
    node = await office.node(url=cuttable_redis.url)
    await cuttable_redis.cut()
    await asyncio.sleep(0.5)
    await cuttable_redis.mend()
    other = await office.node(work=False)
    await other.enqueue_mail(a_mail(), user_id="ada")
    await until(lambda: len(office.postman.sent) == 1)
    await node.stop()


async def test_an_outage_of_redis_is_logged_once_and_does_not_spin(
    office: Office, cuttable_redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await office.node(url=cuttable_redis.url)
    await asyncio.sleep(0.2)
    with caplog.at_level(logging.WARNING, logger="saq"):
        begun = time.process_time()
        await cuttable_redis.cut()
        await asyncio.sleep(1.5)
    assert time.process_time() - begun < 0.7
    assert [record for record in caplog.records if record.name == "saq"] == []


async def test_without_mongodb_a_mail_is_not_taken(services: Any, redis_prefix: str) -> None:
    nowhere = Mongo("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "nothing", "motor")
    jobs = Jobs(
        redis_url=services.redis,
        namespace=redis_prefix,
        outbox=OutboxStore(nowhere.database, keep_content=False),
        sender=Postman(),
        metrics=Metrics(),
        clock=utc_now,
    )
    await jobs.start(work=False)
    with pytest.raises(Unavailable):
        await jobs.enqueue_mail(a_mail(), user_id="ada")
    await jobs.measure()
    await jobs.stop()
    await nowhere.close()


async def test_stopping_finishes_what_is_being_sent_and_is_quick_when_nothing_is(office: Office) -> None:
    idle = await office.node()
    await asyncio.sleep(0.1)
    begun = time.perf_counter()
    await idle.stop()
    assert time.perf_counter() - begun < 3
    office.postman.takes_seconds = 0.5
    busy = await office.node()
    await busy.enqueue_mail(a_mail(), user_id="ada")
    await asyncio.sleep(0.2)
    await busy.stop()
    assert len(office.postman.sent) == 1


async def test_stopping_does_not_wait_for_a_mail_server_that_hangs(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.notifications.job_queue, "STOP_SECONDS", 0.3)
    office.postman.takes_seconds = 60
    node = await office.node()
    await node.enqueue_mail(a_mail(), user_id="ada")
    await asyncio.sleep(0.3)
    begun = time.perf_counter()
    await node.stop()
    assert time.perf_counter() - begun < 4
    # It is free for the next worker at once.
    assert await office.outbox.claim(a_mail().message_id, now=utc_now(), until=utc_now()) is not None


async def test_stopping_with_redis_down_is_quick_too(office: Office, cuttable_redis: Any) -> None:
    node = await office.node(url=cuttable_redis.url)
    await asyncio.sleep(0.1)
    cuttable_redis.hush()
    begun = time.perf_counter()
    await node.stop()
    assert time.perf_counter() - begun < 20  # a busy machine takes longer than a stop does


async def test_our_signal_handlers_stay_ours(office: Office) -> None:
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    node = await office.node()
    await asyncio.sleep(0.1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await node.stop()
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_the_depth_of_the_queue_is_measured(office: Office) -> None:
    node = await office.node(work=False)
    for number in range(3):
        await node.enqueue_mail(a_mail(number), user_id="ada")
    await node.measure()
    assert office.metrics.jobs_queued._value.get() == 3
