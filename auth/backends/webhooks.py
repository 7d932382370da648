"""Webhook endpoints: created, listed and removed by administrators and the operator."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from auth.backends.webhook_requests import WebhookRequests, seal_context
from auth.core.errors import Conflict, FieldError, InvalidRequest, NotFound
from auth.core.facts import FILTERS
from auth.core.models import Client, Principal
from auth.core.webhooks import Webhook, WebhookDelivery, WebhookFormat
from auth.crypto.webhook_signatures import WebhookSecret
from auth.factors.step_up import StepUp
from auth.platform.hosts import public_url_problem
from auth.services import Operation, Services
from auth.stores.facts import FactStore
from auth.stores.webhook_deliveries import WebhookDeliveries
from auth.stores.webhooks import MAX_WEBHOOKS, WebhookStore

MAX_URL = 2048
FORMATS: tuple[WebhookFormat, ...] = ("json", "set")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStores:
    """The collections of webhooks."""

    webhooks: WebhookStore
    deliveries: WebhookDeliveries
    facts: FactStore


class Webhooks(Operation):
    """Creates, lists and removes endpoints, changes their secrets, and sends again what was given up.

    `allow_private`: endpoints may be on private addresses and use http.
    """

    def __init__(
        self,
        services: Services,
        *,
        stores: WebhookStores,
        requests: WebhookRequests,
        step_up: StepUp,
        allow_private: bool,
    ) -> None:
        super().__init__(services)
        self._webhooks = stores.webhooks
        self._deliveries = stores.deliveries
        self._facts = stores.facts
        self._requests = requests
        self._step_up = step_up
        self._allow_private = allow_private

    # Administrators. Each raises `RateLimited`, and those that change something `StepUpRequired`.

    async def create(
        self, principal: Principal, url: str, events: Sequence[str], kind: str, *, client: Client
    ) -> tuple[Webhook, str]:
        """Create an endpoint, which gets the facts from now on; return it with its secret, shown this once.

        Raises `InvalidRequest` or `Conflict`.
        """
        await self._admit(principal)
        webhook, secret = await self._add(url, events, kind)
        await self._record("admin_webhook_created", principal, client, _details(webhook))
        return webhook, secret

    async def list(self, principal: Principal, *, client: Client) -> Sequence[Webhook]:
        """Return every endpoint."""
        await self._limits.hit("admin", principal.user_id)
        await self._record("admin_webhooks_listed", principal, client, {})
        return await self._webhooks.all()

    async def remove(self, principal: Principal, webhook_id: str, *, client: Client) -> None:
        """Remove an endpoint and what waits for it. Raises `NotFound`."""
        await self._admit(principal)
        await self._remove(webhook_id)
        await self._record("admin_webhook_removed", principal, client, {"webhook": webhook_id})

    async def add_secret(self, principal: Principal, webhook_id: str, *, client: Client) -> str:
        """Add a secret and return it, shown this once. Raises `NotFound`. See `add_secret_by_operator`."""
        await self._admit(principal)
        secret = await self._new_secret(webhook_id)
        await self._record("admin_webhook_secret_added", principal, client, {"webhook": webhook_id})
        return secret

    async def deliveries(
        self, principal: Principal, webhook_id: str, *, client: Client
    ) -> Sequence[WebhookDelivery]:
        """Return what waits for an endpoint or was given up, newest first. Raises `NotFound`."""
        await self._limits.hit("admin", principal.user_id)
        await self._record("admin_webhook_deliveries_listed", principal, client, {"webhook": webhook_id})
        return await self.deliveries_for_operator(webhook_id)

    async def send_again(
        self, principal: Principal, webhook_id: str, number: int | None, *, client: Client
    ) -> int:
        """Send now what was given up or waits, all of it or one fact; the number of them. Raises `NotFound`."""
        await self._admit(principal)
        count = await self._send_again(webhook_id, number)
        await self._record("admin_webhook_sent_again", principal, client, {"webhook": webhook_id})
        return count

    # The operator

    async def create_by_operator(self, url: str, events: Sequence[str], kind: str) -> tuple[Webhook, str]:
        """Like `create`, for the operator."""
        webhook, secret = await self._add(url, events, kind)
        await self._audit.record("webhook_created", user_id=None, details=_details(webhook))
        return webhook, secret

    async def list_for_operator(self) -> Sequence[Webhook]:
        """Like `list`, for the operator."""
        return await self._webhooks.all()

    async def remove_by_operator(self, webhook_id: str) -> None:
        """Like `remove`, for the operator."""
        await self._remove(webhook_id)
        await self._audit.record("webhook_removed", user_id=None, details={"webhook": webhook_id})

    async def _remove(self, webhook_id: str) -> None:
        if not await self._webhooks.remove(webhook_id):
            raise _unknown()
        await self._deliveries.forget(webhook_id)

    async def add_secret_by_operator(self, webhook_id: str) -> str:
        """Like `add_secret`: requests are signed with it and with the one before, until the next one is added."""
        secret = await self._new_secret(webhook_id)
        await self._audit.record("webhook_secret_added", user_id=None, details={"webhook": webhook_id})
        return secret

    async def deliveries_for_operator(self, webhook_id: str) -> Sequence[WebhookDelivery]:
        """Like `deliveries`, for the operator."""
        if await self._webhooks.get(webhook_id) is None:
            raise _unknown()
        return await self._deliveries.listed(webhook_id)

    async def send_again_by_operator(self, webhook_id: str, number: int | None) -> int:
        """Like `send_again`, for the operator."""
        count = await self._send_again(webhook_id, number)
        await self._audit.record("webhook_sent_again", user_id=None, details={"webhook": webhook_id})
        return count

    async def _send_again(self, webhook_id: str, number: int | None) -> int:
        if await self._webhooks.get(webhook_id) is None:
            raise _unknown()
        count = await self._deliveries.send_again(webhook_id, number, now=self._clock())
        # A dead endpoint is tested now.
        await self._webhooks.note(webhook_id, {"failures": 0, "pausedUntil": None})
        return count

    async def _admit(self, principal: Principal) -> None:
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)

    async def _add(self, url: str, events: Sequence[str], kind: str) -> tuple[Webhook, str]:
        self._check(url, events, kind)
        if len(await self._webhooks.all()) >= MAX_WEBHOOKS:
            raise Conflict(f"There are {MAX_WEBHOOKS} webhooks already.")
        secret, webhook_id = WebhookSecret.generate(), secrets.token_hex(8)
        webhook = Webhook(
            webhook_id=webhook_id,
            url=url,
            events=tuple(each for each in FILTERS if each in events),
            format="set" if kind == "set" else "json",
            sealed_secrets=(self._sealed(webhook_id, secret),),
            created_at=self._clock(),
            number=await self._facts.last(),
        )
        await self._webhooks.add(webhook)
        return webhook, secret.text

    async def _new_secret(self, webhook_id: str) -> str:
        secret = WebhookSecret.generate()
        if await self._webhooks.add_secret(webhook_id, self._sealed(webhook_id, secret)) is None:
            raise _unknown()
        return secret.text

    def _sealed(self, webhook_id: str, secret: WebhookSecret) -> bytes:
        return self._requests.seal.seal(secret.key, context=seal_context(webhook_id))

    def _check(self, url: str, events: Sequence[str], kind: str) -> None:
        problem = self._problem(url)
        if problem is not None:
            raise _invalid("url", problem)
        if unknown := sorted(set(events) - set(FILTERS)):
            raise _invalid("events", f"There is no {unknown[0][:64]!r}; choose of: {', '.join(FILTERS)}.")
        if kind not in FORMATS:
            raise _invalid("format", f"Choose one of: {', '.join(FORMATS)}.")

    def _problem(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            return "This is not a URL."
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or not host:
            return "This is not a URL."
        if parts.username is not None or parts.password is not None or parts.fragment:
            return "Use a URL without user, password and fragment."
        if parts.scheme not in {"http", "https"}:
            return "The URL must begin with https://."
        problem = None if self._allow_private else public_url_problem(url, switch="VIGIL_WEBHOOKS_PRIVATE")
        return f"The URL is refused: {problem}." if problem else None

    async def _record(self, kind: str, principal: Principal, client: Client, details: Mapping[str, str]) -> None:
        await self._audit.record(
            kind, user_id=principal.user_id, session_id=principal.session_id, client=client, details=details
        )


def _details(webhook: Webhook) -> dict[str, str]:
    # Not the path and the query, which may be secrets.
    host = urlsplit(webhook.url).hostname or ""
    return {"webhook": webhook.webhook_id, "host": host, "format": webhook.format}


def _unknown() -> NotFound:
    return NotFound("There is no such webhook.")


def _invalid(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(name, message)])
