"""Operator commands for webhooks, beside running nodes."""

import sys
from collections.abc import Awaitable, Callable, Sequence

from auth.backends.webhooks import Webhooks
from auth.core.clock import iso
from auth.core.errors import Conflict, InvalidRequest, NotFound
from auth.core.webhooks import Webhook
from auth.platform.settings.settings import Settings


async def create(settings: Settings, url: str, events: Sequence[str], kind: str) -> int:
    """Create an endpoint. Standard output is its secret alone, which cannot be read again."""

    async def work(webhooks: Webhooks) -> None:
        webhook, secret = await webhooks.create_by_operator(url, events, kind)
        print(secret)
        print(f"created {_line(webhook)}; the secret is not shown again", file=sys.stderr)

    return await _run(settings, work)


async def show(settings: Settings) -> int:
    """Print every endpoint, oldest first, without secrets."""

    async def work(webhooks: Webhooks) -> None:
        for webhook in await webhooks.list_for_operator():
            times = {"last success": webhook.last_success_at, "paused until": webhook.paused_until}
            said = [f"{what} {iso(at)}" for what, at in times.items() if at is not None]
            failing = [f"{webhook.failures} failures, last: {webhook.last_error}"] if webhook.failures else []
            print(", ".join([_line(webhook), f"created {iso(webhook.created_at)}", *said, *failing]))

    return await _run(settings, work)


async def remove(settings: Settings, webhook_id: str) -> int:
    """Remove an endpoint, and what waits for it."""

    async def work(webhooks: Webhooks) -> None:
        await webhooks.remove_by_operator(webhook_id)
        print(f"removed {webhook_id}")

    return await _run(settings, work)


async def add_secret(settings: Settings, webhook_id: str) -> int:
    """Add a secret. Standard output is the secret alone. Requests are signed with it and the one before."""

    async def work(webhooks: Webhooks) -> None:
        print(await webhooks.add_secret_by_operator(webhook_id))
        print("requests are signed with this secret and with the one before it", file=sys.stderr)

    return await _run(settings, work)


async def show_deliveries(settings: Settings, webhook_id: str) -> int:
    """Print what an endpoint has not accepted, newest first."""

    async def work(webhooks: Webhooks) -> None:
        for each in await webhooks.deliveries_for_operator(webhook_id):
            tried = f"{each.attempts} attempts, last: {each.last_error}" if each.attempts else "not tried yet"
            print(f"{each.number} {each.type} of {each.user_id}: {each.state}, {tried}, due {iso(each.due_at)}")

    return await _run(settings, work)


async def send_again(settings: Settings, webhook_id: str, number: int | None) -> int:
    """Send now what waits or was given up: all of it, or one fact."""

    async def work(webhooks: Webhooks) -> None:
        print(f"sending again: {await webhooks.send_again_by_operator(webhook_id, number)}")

    return await _run(settings, work)


async def _run(settings: Settings, work: Callable[[Webhooks], Awaitable[None]]) -> int:
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        try:
            await work(node.operations.backends.webhooks)
        except InvalidRequest as refusal:
            print("; ".join(error.message for error in refusal.errors), file=sys.stderr)
            return 1
        except (Conflict, NotFound) as refusal:
            print(refusal.message, file=sys.stderr)
            return 1
    return 0


def _line(webhook: Webhook) -> str:
    return f"{webhook.webhook_id} {webhook.url} ({webhook.format}: {', '.join(webhook.events) or 'everything'})"
