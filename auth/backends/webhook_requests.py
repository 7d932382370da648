"""The request of a webhook: body, content type and signature."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from auth.core.clock import Clock, iso
from auth.core.facts import FactType, StoredFact, matches
from auth.core.webhooks import Webhook
from auth.crypto.root_secret import RootSecret
from auth.crypto.sealing import Seal
from auth.crypto.security_event_tokens import session_revoked_token
from auth.crypto.signing_keys import KeyRing
from auth.crypto.webhook_signatures import WebhookSecret, signed_headers

JSON = "application/json"
# RFC 8935, section 2.1.
SET = "application/secevent+jwt"


def webhook_seal(root: RootSecret) -> Seal:
    """Return the seal of webhook secrets."""
    return Seal(root.derive("webhooks"), second=root.derive_second("webhooks"))


def seal_context(webhook_id: str) -> str:
    """Return the context that binds a sealed secret to its endpoint."""
    return f"webhook {webhook_id}"


def wants(webhook: Webhook, fact_type: str) -> bool:
    """Whether an endpoint gets facts of this type. Tokens are only about ended sessions."""
    is_possible = webhook.format == "json" or fact_type == FactType.SESSION_ENDED
    return is_possible and matches(fact_type, webhook.events)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What is posted."""

    body: bytes
    headers: Mapping[str, str]


class WebhookRequests:
    """Makes requests, and opens the secrets that sign them."""

    def __init__(self, seal: Seal, keys: KeyRing, *, issuer: str, clock: Clock) -> None:
        self.seal = seal
        self._keys = keys
        self._issuer = issuer
        self._clock = clock

    def make(self, webhook: Webhook, stored: StoredFact) -> WebhookRequest:
        """Make the request about a fact. Raises `SealBroken`.

        A repeat has the same id and body, except for the time of signing.
        """
        now, message_id = self._clock(), f"fact_{stored.number}"
        if webhook.format == "json":
            body, accept, kind = json_body(stored), "*/*", JSON
        else:
            body, accept, kind = self._token(webhook, stored, message_id), JSON, SET
        context = seal_context(webhook.webhook_id)
        held = [WebhookSecret(self.seal.open(sealed, context=context)) for sealed in webhook.sealed_secrets]
        signed = signed_headers(held, message_id=message_id, now=now, body=body)
        return WebhookRequest(body, {**signed, "Content-Type": kind, "Accept": accept})

    def _token(self, webhook: Webhook, stored: StoredFact, message_id: str) -> bytes:
        fact = stored.fact
        parts = urlsplit(webhook.url)
        return session_revoked_token(
            self._keys,
            issuer=self._issuer,
            audience=f"{parts.scheme}://{parts.netloc}",
            token_id=message_id,
            user_id=fact.user_id or "",
            session_id=fact.session_id or "",
            reason=fact.data["reason"],
            by=fact.data["by"]["kind"],
            ended_at=fact.at,
            now=self._clock(),
        ).encode()


def json_body(stored: StoredFact) -> bytes:
    """The fact as JSON: `{id, type, timestamp, data}`."""
    return orjson.dumps(stored.body | {"timestamp": iso(stored.fact.at)})
