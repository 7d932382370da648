"""The operations of backends, created together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from auth.backends.fact_relay import FactRelay
from auth.backends.facts import BackendFacts
from auth.backends.keys import ServerKeys
from auth.backends.live import LiveControl
from auth.backends.messages import BackendMessages
from auth.backends.revocations import RevocationFeed
from auth.backends.rooms import BackendRooms
from auth.backends.sessions import BackendSessions
from auth.backends.targets import Targets
from auth.backends.users import BackendUsers
from auth.backends.webhook_requests import WebhookRequests
from auth.backends.webhook_sender import WebhookSender
from auth.backends.webhooks import Webhooks, WebhookStores
from auth.factors.step_up import StepUp
from auth.platform.http_client import HttpClient
from auth.platform.settings.facts import FactSettings
from auth.services import Services
from auth.sessions.sessions import Sessions
from auth.sessions.types import RevocationList
from auth.stores.stores import Stores


class LiveParts(Protocol):
    """What backends need of the live side."""

    @property
    def control(self) -> LiveControl:
        """Acts on sockets."""

    @property
    def revocations(self) -> RevocationList:
        """Knows how long revocations matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactParts:
    """What facts and webhooks need besides the stores."""

    settings: FactSettings
    requests: WebhookRequests
    web: HttpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Every operation of backends."""

    keys: ServerKeys
    sessions: BackendSessions
    users: BackendUsers
    messages: BackendMessages
    rooms: BackendRooms
    facts: BackendFacts
    webhooks: Webhooks
    fact_relay: FactRelay
    revocations: RevocationFeed

    @classmethod
    def create(
        cls,
        services: Services,
        stores: Stores,
        *,
        sessions: Sessions,
        step_up: StepUp,
        live: LiveParts,
        facts: FactParts,
    ) -> "Backends":
        """Create them."""
        control = live.control
        targets = Targets(services, sessions=stores.sessions)
        sender = WebhookSender(
            services,
            webhooks=stores.webhooks,
            deliveries=stores.webhook_deliveries,
            facts=stores.facts,
            requests=facts.requests,
            web=facts.web,
            facts_kept=timedelta(days=facts.settings.events_days),
        )
        return cls(
            keys=ServerKeys(services, store=stores.server_keys, step_up=step_up),
            sessions=BackendSessions(services, sessions=sessions, targets=targets, live=control),
            users=BackendUsers(services),
            messages=BackendMessages(services, sent=stores.sent_messages, targets=targets, live=control),
            rooms=BackendRooms(
                services, members=stores.room_members, sessions=stores.sessions, targets=targets, live=control
            ),
            facts=BackendFacts(services, facts=stores.facts),
            webhooks=Webhooks(
                services,
                stores=WebhookStores(
                    webhooks=stores.webhooks, deliveries=stores.webhook_deliveries, facts=stores.facts
                ),
                requests=facts.requests,
                step_up=step_up,
                allow_private=facts.settings.webhooks_private,
            ),
            fact_relay=FactRelay(
                services,
                facts=stores.facts,
                make_feed=stores.change_feed,
                sessions=stores.session_changes,
                follow=sender.run,
            ),
            revocations=RevocationFeed(services, store=stores.session_revocations, life=live.revocations.life),
        )
