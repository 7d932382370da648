"""Webhook endpoints, and facts that wait for them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

DeliveryState = Literal["waiting", "behind", "failed"]
WebhookFormat = Literal["json", "set"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint. `number` is that of the last fact that was sent or stored for a repeat."""

    webhook_id: str
    url: str
    events: tuple[str, ...]
    format: WebhookFormat
    sealed_secrets: tuple[bytes, ...] = field(repr=False)
    created_at: datetime
    number: int
    # Failures one after another, and until when nothing is sent because of them.
    failures: int = 0
    paused_until: datetime | None = None
    last_error: str | None = None
    last_success_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A fact that waits for an endpoint, or was given up."""

    webhook_id: str
    number: int
    type: str
    user_id: str | None
    state: DeliveryState
    attempts: int
    stored_at: datetime
    due_at: datetime
    last_error: str | None
