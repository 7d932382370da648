"""Facts that wait for an endpoint: of each user one is sent at a time, in order, however many there are."""

from collections.abc import Sequence
from datetime import timedelta

from support.plans import watched_plans

from auth.core.clock import utc_now
from auth.core.webhooks import WebhookDelivery
from auth.stores.mongo import Mongo
from auth.stores.webhook_deliveries import PROMOTED_AT_ONCE, WebhookDeliveries

NOW = utc_now()
WEEK = timedelta(days=7)
# In the order of the index, which gives the first fact of each user.
INDEX = "{ webhookId: 1, state: 1, userId: 1, number: 1 }"


async def behind(mongo: Mongo, user_ids: Sequence[str | None], count: int) -> WebhookDeliveries:
    """Facts that are behind one that is not there any more: `count` of each user, in turn, numbered from 0."""
    deliveries = WebhookDeliveries(mongo.database)
    await deliveries.store(
        [
            WebhookDelivery("webhook", number, "user.verified", user_id, "behind", 0, NOW, NOW, None)
            for number, user_id in enumerate([*user_ids] * count)
        ],
        remove_at=NOW + WEEK,
    )
    return deliveries


async def due(deliveries: WebhookDeliveries) -> list[int]:
    return [each.number for each in await deliveries.due("webhook", now=NOW, limit=2000)]


async def test_of_thousands_of_facts_that_wait_only_the_first_of_each_user_is_read(mongo: Mongo) -> None:
    deliveries = await behind(mongo, ["ada", "bob", None], 1000)
    async with watched_plans(mongo) as plans:
        await deliveries.promote_orphans("webhook", now=NOW)
        await deliveries.promote("webhook", "ada", now=NOW)
    assert plans[0] == f"webhook_deliveries: DISTINCT_SCAN {INDEX}"
    assert plans[-1] == f"webhook_deliveries: IXSCAN {INDEX}"


async def test_those_of_a_user_go_on_in_order_and_one_at_a_time(mongo: Mongo) -> None:
    deliveries = await behind(mongo, ["ada", "bob", None], 3)
    for numbers in ([0, 1, 2], [3, 4, 5], [6, 7, 8], []):
        for _ in range(2):  # the second time, each user has one that waits
            await deliveries.promote_orphans("webhook", now=NOW)
            assert await due(deliveries) == numbers
        for number in numbers:
            await deliveries.done("webhook", number)


async def test_those_of_more_users_than_are_promoted_at_once_go_on_too(mongo: Mongo) -> None:
    users = [f"user-{number}" for number in range(2 * PROMOTED_AT_ONCE + 1)]
    deliveries = await behind(mongo, users, 1)
    await deliveries.promote("webhook", users[7], now=NOW)
    await deliveries.promote_orphans("webhook", now=NOW)
    assert await due(deliveries) == list(range(len(users)))
