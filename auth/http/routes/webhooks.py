"""Administration of webhook endpoints."""

from auth.backends.webhooks import Webhooks
from auth.core.errors import Conflict, NotFound, StepUpRequired
from auth.core.models import ADMIN
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import Empty, Nothing
from auth.http.schemas.server_events import (
    NewWebhookAnswer,
    SendAgainRequest,
    SentAgainAnswer,
    WebhookDeliveriesAnswer,
    WebhookDeliveryView,
    WebhookRequestBody,
    WebhooksAnswer,
    WebhookSecretAnswer,
    WebhookView,
)


class WebhookRoutes:
    """Endpoints for administrators."""

    tag = "Administration"

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    @endpoint("GET", "/admin/webhooks", summary="List the webhooks", role=ADMIN)
    async def list_webhooks(self, call: Call, _: Nothing) -> WebhooksAnswer:
        webhooks = await self._webhooks.list(call.principal, client=call.client)
        return WebhooksAnswer(webhooks=tuple(map(WebhookView.of, webhooks)))

    @endpoint(
        "POST",
        "/admin/webhooks",
        summary="Create a webhook",
        role=ADMIN,
        status=201,
        errors=(Conflict, StepUpRequired),
    )
    async def create_webhook(self, call: Call, body: WebhookRequestBody) -> NewWebhookAnswer:
        """It gets the facts from now on."""
        webhook, secret = await self._webhooks.create(
            call.principal, body.url, body.events, body.format, client=call.client
        )
        return NewWebhookAnswer(webhook=WebhookView.of(webhook), secret=secret)

    @endpoint(
        "DELETE",
        "/admin/webhooks/{webhookId}",
        summary="Remove a webhook",
        role=ADMIN,
        errors=(NotFound, StepUpRequired),
    )
    async def remove_webhook(self, call: Call, _: Nothing) -> Empty:
        await self._webhooks.remove(call.principal, _webhook_id(call), client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/admin/webhooks/{webhookId}/secrets",
        summary="Add a secret to a webhook",
        role=ADMIN,
        status=201,
        errors=(NotFound, StepUpRequired),
    )
    async def add_webhook_secret(self, call: Call, _: Nothing) -> WebhookSecretAnswer:
        """Requests are signed with it and with the one before it; an older one is removed."""
        secret = await self._webhooks.add_secret(call.principal, _webhook_id(call), client=call.client)
        return WebhookSecretAnswer(secret=secret)

    @endpoint(
        "GET",
        "/admin/webhooks/{webhookId}/deliveries",
        summary="List what a webhook has not accepted",
        role=ADMIN,
        errors=(NotFound,),
    )
    async def webhook_deliveries(self, call: Call, _: Nothing) -> WebhookDeliveriesAnswer:
        listed = await self._webhooks.deliveries(call.principal, _webhook_id(call), client=call.client)
        return WebhookDeliveriesAnswer(deliveries=tuple(map(WebhookDeliveryView.of, listed)))

    @endpoint(
        "POST",
        "/admin/webhooks/{webhookId}/send-again",
        summary="Send again what a webhook has not accepted",
        role=ADMIN,
        body_optional=True,
        errors=(NotFound, StepUpRequired),
    )
    async def send_webhook_again(self, call: Call, body: SendAgainRequest) -> SentAgainAnswer:
        number = None if body.fact_id is None else int(body.fact_id)
        count = await self._webhooks.send_again(call.principal, _webhook_id(call), number, client=call.client)
        return SentAgainAnswer(count=count)


def _webhook_id(call: Call) -> str:
    return call.request.match_info["webhookId"]
