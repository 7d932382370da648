"""Request and response schemas of facts and webhooks."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from auth.backends.facts import MAX_PAGE
from auth.backends.webhooks import FORMATS, MAX_URL
from auth.core.facts import FILTERS, FactPage, FactType, StoredFact
from auth.core.views import Counter, Input, Moment, Query, Text, View
from auth.core.webhooks import Webhook, WebhookDelivery


class EventsQuery(Query):
    """Which facts."""

    after: Annotated[str, Field(json_schema_extra={"pattern": "^(now|[0-9]{1,16})$"})] | None = Field(
        None,
        description="The `id` of the last fact that was read, or `now`. Without it: from the oldest kept one.",
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = Field(100, description="Facts per page; not for a stream.")


class FactView(View):
    """A fact: what happened."""

    id: str = Field(description="Also the cursor after this fact. Grows by one with each fact.")
    type: Annotated[str, Field(json_schema_extra={"enum": [each.value for each in FactType]})]
    timestamp: Moment
    data: dict[str, Any] = Field(description="`userId` and `sessionId`, where there are such, and more by type.")

    @classmethod
    def of(cls, stored: StoredFact) -> Self:
        return cls(**stored.body)


class EventsAnswer(View):
    """A page of facts."""

    events: tuple[FactView, ...] = Field(description="Oldest first.")
    next: str = Field(description="Pass as `after` to go on: now, if there were facts, else later.")
    recovered: bool = Field(
        description="Whether facts are kept back to `after`. If not, some are missing before the first one here."
    )

    @classmethod
    def of(cls, page: FactPage) -> Self:
        return cls(events=tuple(map(FactView.of, page.facts)), next=str(page.last), recovered=page.recovered)


class WebhookRequestBody(Input):
    """A new webhook endpoint."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://shop.example/vigil", "events": ["session.*"]}]}
    )

    url: Annotated[Text, Field(min_length=1, max_length=MAX_URL)]
    events: Annotated[
        list[Annotated[Text, Field(json_schema_extra={"enum": list(FILTERS)})]], Field(max_length=len(FILTERS))
    ] = Field(default_factory=list, description="Types of facts, or groups as `session.*`; none is all.")
    format: Annotated[Text, Field(json_schema_extra={"enum": list(FORMATS)})] = Field(
        "json", description="`set`: ended sessions as Security Event Tokens, and nothing else."
    )


class WebhookView(View):
    """A webhook endpoint, without its secrets."""

    id: str
    url: str
    events: tuple[str, ...]
    format: Literal["json", "set"]
    secrets: int = Field(description="How many secrets sign each request.")
    created_at: Moment
    last_success_at: Moment | None
    last_error: str | None
    failures: int = Field(description="Failures one after another.")
    paused_until: Moment | None = Field(description="Until when nothing is sent, because of failures.")

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls(
            id=webhook.webhook_id,
            url=webhook.url,
            events=webhook.events,
            format=webhook.format,
            secrets=len(webhook.sealed_secrets),
            created_at=webhook.created_at,
            last_success_at=webhook.last_success_at,
            last_error=webhook.last_error,
            failures=webhook.failures,
            paused_until=webhook.paused_until,
        )


class NewWebhookAnswer(View):
    """A new endpoint; its secret is shown only this once."""

    webhook: WebhookView
    secret: str = Field(description="`whsec_…`, to verify signatures with.")


class WebhookSecretAnswer(View):
    """A new secret, shown only this once."""

    secret: str


class WebhooksAnswer(View):
    """Every endpoint, oldest first."""

    webhooks: tuple[WebhookView, ...]


class WebhookDeliveryView(View):
    """A fact that an endpoint has not accepted."""

    fact_id: str
    type: str
    user_id: str | None
    state: Literal["waiting", "behind", "failed"] = Field(
        description="`behind`: waits for an earlier fact of its user. `failed`: given up."
    )
    attempts: int
    stored_at: Moment
    due_at: Moment
    last_error: str | None

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> Self:
        return cls(
            fact_id=str(delivery.number),
            type=delivery.type,
            user_id=delivery.user_id,
            state=delivery.state,
            attempts=delivery.attempts,
            stored_at=delivery.stored_at,
            due_at=delivery.due_at,
            last_error=delivery.last_error,
        )


class WebhookDeliveriesAnswer(View):
    """What waits or was given up, newest first, at most 200."""

    deliveries: tuple[WebhookDeliveryView, ...]


class SendAgainRequest(Input):
    """What to send again."""

    fact_id: Annotated[str, Field(pattern=r"^[0-9]{1,16}$")] | None = Field(
        None, description="Only this fact; by default everything that waits or was given up."
    )


class SentAgainAnswer(View):
    """How many facts are sent now."""

    count: Counter
