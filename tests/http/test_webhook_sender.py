"""The sender of webhooks, beside receivers that are slow, dead or gone: each costs only itself."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp import web
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)
from support.keys import ROOT_SECRET, held_ring
from support.nodes import ServiceUrls
from support.session_world import Time, stand_in_services
from support.waiting import eventually

from auth.backends.webhook_requests import WebhookRequests, seal_context, webhook_seal
from auth.backends.webhook_sender import AT_ONCE, WebhookSender, webhook_client
from auth.core.facts import FactType, NewFact
from auth.core.webhooks import Webhook, WebhookDelivery
from auth.crypto.root_secret import RootSecret
from auth.crypto.webhook_signatures import WebhookSecret
from auth.platform.metrics import Metrics
from auth.stores.facts import FactStore
from auth.stores.mongo import Mongo
from auth.stores.webhook_deliveries import WebhookDeliveries
from auth.stores.webhooks import WebhookStore

WEEK = timedelta(days=7)
# More than a client has connections, unless it is made for all endpoints.
SLOW = 5


@dataclass
class Receivers:
    """One server with an endpoint for each path. Those below `/slow` answer once `release` is set.

    `refusals`: the status and the headers with which a path refuses everything.
    """

    url: str = ""
    refusals: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    came: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.came.append(request.path)
        if request.path.startswith("/slow"):
            await self.release.wait()
        status, headers = self.refusals.get(request.path, (200, {}))
        return web.Response(status=status, headers=headers)


class Commands(CommandListener):
    """Lists what is sent to MongoDB."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@dataclass
class World:
    """A sender, its stores, and the server of its receivers."""

    time: Time
    mongo: Mongo
    webhooks: WebhookStore
    deliveries: WebhookDeliveries
    facts: FactStore
    requests: WebhookRequests
    receivers: Receivers
    appended: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)

    async def endpoint(self, path: str) -> str:
        webhook_id = secrets.token_hex(8)
        sealed = self.requests.seal.seal(WebhookSecret.generate().key, context=seal_context(webhook_id))
        made = Webhook(webhook_id, self.receivers.url + path, (), "json", (sealed,), self.time.now, 0)
        await self.webhooks.add(made)
        return webhook_id

    async def give_up(self, webhook_id: str, count: int, user_ids: Sequence[str]) -> None:
        """Store facts that were given up, `count` for each user."""
        each = len(user_ids)
        await self.deliveries.store(
            [
                WebhookDelivery(
                    webhook_id,
                    number,
                    "user.verified",
                    user_ids[number % each],
                    "failed",
                    9,
                    now,
                    now,
                    "answered 500",
                )
                for number in range(1, count * each + 1)
                for now in [self.time.now]
            ],
            remove_at=self.time.now + WEEK,
        )

    async def append(self, user_ids: Sequence[str], after: int = 0) -> int:
        facts = [(NewFact(FactType.USER_VERIFIED, self.time.now, each), "position") for each in user_ids]
        last = await self.facts.append(facts, after=after, now=self.time.now)
        self.appended.set()
        return last

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Run the sender."""
        client = webhook_client(allow_private=True)
        sender = WebhookSender(
            stand_in_services(clock=self.time, metrics=self.metrics),
            webhooks=self.webhooks,
            deliveries=self.deliveries,
            facts=self.facts,
            requests=self.requests,
            web=client,
            facts_kept=WEEK,
        )
        running = asyncio.create_task(sender.run(self.appended))
        try:
            yield
            assert not running.done()
        finally:
            self.receivers.release.set()
            running.cancel()
            await asyncio.wait([running])
            await client.close()


@pytest.fixture
async def world(mongo: Mongo) -> AsyncIterator[World]:
    receivers, time = Receivers(), Time()
    app = web.Application()
    app.router.add_post("/{path:.*}", receivers.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receivers.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    requests = WebhookRequests(
        webhook_seal(RootSecret(ROOT_SECRET)), await held_ring(), issuer="https://auth.example.org", clock=time
    )
    database = mongo.database
    yield World(
        time,
        mongo,
        WebhookStore(database),
        WebhookDeliveries(database),
        FactStore(database, kept=WEEK),
        requests,
        receivers,
    )
    await runner.cleanup()


async def until(world: World, path: str, count: int) -> None:
    async def came() -> bool:
        return world.receivers.came.count(path) >= count

    await eventually(came, f"{count} requests at {path}", timeout=60)


async def test_receivers_that_do_not_answer_take_no_connection_of_one_at_the_same_host(world: World) -> None:
    slow = [f"/slow/{number}" for number in range(SLOW)]
    for path in slow:
        await world.endpoint(path)
    await world.append([f"user-{number}" for number in range(AT_ONCE)])
    async with world.sending():
        for path in slow:
            await until(world, path, AT_ONCE)
        await world.endpoint("/healthy")
        await until(world, "/healthy", AT_ONCE)


async def sent_meanwhile(world: World, after: int, users: Sequence[str]) -> int:
    """Append a fact of each user, and wait until another endpoint has got them."""
    known = world.receivers.came.count("/healthy")
    last = await world.append(users, after)
    await until(world, "/healthy", known + len(users))
    return last


async def test_an_endpoint_that_is_gone_gets_nothing_more(world: World) -> None:
    world.receivers.refusals["/gone"] = 410, {}
    webhook_id = await world.endpoint("/gone")
    await world.endpoint("/healthy")
    async with world.sending():
        number = await sent_meanwhile(world, 0, ["ada"])
        await until(world, "/gone", 1)
        world.time.go(days=1)
        for user in ("ada", "grace"):
            number = await sent_meanwhile(world, number, [user])
    assert world.receivers.came.count("/gone") == 1
    stored = await world.webhooks.get(webhook_id)
    assert stored is not None
    assert (stored.last_error, stored.failures) == ("answered 410", 1)


async def test_an_endpoint_that_asks_for_time_gets_it_and_then_everything(world: World) -> None:
    world.receivers.refusals["/busy"] = 503, {"Retry-After": "120"}
    await world.endpoint("/busy")
    await world.endpoint("/healthy")
    users = [f"user-{number}" for number in range(5 * AT_ONCE)]
    async with world.sending():
        number = await sent_meanwhile(world, 0, users)
        world.time.go(seconds=100)
        await sent_meanwhile(world, number, ["ada"])
        # Those that were under way when the first one was refused.
        refused = world.receivers.came.count("/busy")
        assert 1 <= refused <= AT_ONCE
        del world.receivers.refusals["/busy"]
        world.time.go(seconds=21)
        await until(world, "/busy", refused + len(users) + 1)


async def test_the_last_success_is_shown_to_the_minute(world: World) -> None:
    webhook_id = await world.endpoint("/ready")
    async with world.sending():
        number = await world.append(["ada"])
        await until(world, "/ready", 1)
        world.time.go(minutes=1)
        await world.append(["ada"], number)

        async def shown() -> bool:
            stored = await world.webhooks.get(webhook_id)
            return stored is not None and stored.last_success_at == world.time.now

        await eventually(shown, "the time of the last success", timeout=60)
    accepted = b'vigil_webhook_requests_total{outcome="accepted"} 2.0'
    assert accepted in world.metrics.render()


async def test_what_was_given_up_for_many_users_is_sent_again_by_few_commands(
    services: ServiceUrls, world: World
) -> None:
    webhook_id = await world.endpoint("/ready")
    users = [f"user-{number}" for number in range(600)]
    await world.give_up(webhook_id, 2, users)
    commands = Commands()
    mongo = Mongo(services.patient_mongo, world.mongo.database.name, "pymongo", listeners=[commands])
    assert await WebhookDeliveries(mongo.database).send_again(webhook_id, None, now=world.time.now) == 1200
    await mongo.close()
    assert len(commands.sent) < 20
    due = await world.deliveries.due(webhook_id, now=world.time.now, limit=2000)
    assert {each.user_id for each in due} == set(users)
    # The first one of each.
    assert sorted(each.number for each in due) == list(range(1, 601))
