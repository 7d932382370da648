"""MongoDB and its stores, each created once, for the composition root."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pymongo
import structlog

from auth.platform.settings.settings import Settings
from auth.stores.approvals import ApprovalStore
from auth.stores.audit_events import AuditEvents
from auth.stores.challenges import Challenges
from auth.stores.change_feed import ChangeFeed, SessionsOfChanges
from auth.stores.device_presence import DevicePresence
from auth.stores.diagnosis import DeclaredIndexes, Diagnosis
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.facts import FactStore
from auth.stores.identities import Identities
from auth.stores.mongo import Database, Mongo, refusal_as_settings_error
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.outbox import OutboxStore
from auth.stores.passkeys import Passkeys
from auth.stores.room_members import RoomMembers
from auth.stores.schema import VERSION, Schema
from auth.stores.sent_messages import SentMessages
from auth.stores.server_keys import ServerKeyStore
from auth.stores.sessions.alerts import SessionAlerts
from auth.stores.sessions.device_names import SessionDeviceNames
from auth.stores.sessions.hooks import SessionHookStore
from auth.stores.sessions.marks import SessionMarks
from auth.stores.sessions.places import SessionPlaces
from auth.stores.sessions.revocations import SessionRevocations
from auth.stores.sessions.roles import SessionRoles
from auth.stores.sessions.store import SessionStore
from auth.stores.signing_keys import SigningKeys
from auth.stores.users.account_data import AccountData
from auth.stores.users.directory import Directory
from auth.stores.users.email_changes import EmailChanges
from auth.stores.users.imports import UserImports
from auth.stores.users.login_methods import AccountLoginMethods
from auth.stores.users.pending_revocations import PendingRevocationStore
from auth.stores.users.store import Users
from auth.stores.webhook_deliveries import WebhookDeliveries
from auth.stores.webhooks import WebhookStore

if TYPE_CHECKING:
    from pymongo.monitoring import CommandListener

    from auth.platform.tracing import Tracing

# For all operations of `prepare`: indexes of a large collection take longer than any other operation, and while
# several nodes create them at once, the other operations wait too.
PREPARE_SECONDS = 60

log = structlog.get_logger()


class Indexed(Protocol):
    """A store with indexes."""

    async def ensure_indexes(self) -> None:
        """Create the indexes if missing."""


async def missing_indexes(settings: Settings, database: Database) -> list[str]:
    """The indexes that `Stores.prepare` would create now, as `collection.name`. Raises `Unavailable`."""
    declared = DeclaredIndexes()
    await asyncio.gather(*(each.ensure_indexes() for each in Collections(settings, declared).indexed))
    return sorted(declared.names - await Diagnosis(database).indexes())


class Collections:
    """The stores of one database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.schema = Schema(database)
        self.users = Users(database)
        self.user_imports = UserImports(database)
        self.one_time_tokens = OneTimeTokens(database)
        self.challenges = Challenges(database)
        self.factor_secrets = FactorSecrets(database)
        self.approvals = ApprovalStore(database)
        self.identities = Identities(database)
        self.passkeys = Passkeys(database)
        self.account_parts = AccountData(database)
        self.audit_events = AuditEvents(database)
        self.outbox = OutboxStore(database, keep_content=settings.dev_outbox)
        self.sessions = SessionStore(database, revoked_kept=timedelta(days=settings.tokens.audit_days))
        self.session_endings = PendingRevocationStore(database)
        self.session_hooks = SessionHookStore(database)
        self.session_alerts = SessionAlerts(database)
        self.session_marks = SessionMarks(database)
        self.session_device_names = SessionDeviceNames(database)
        self.session_places = SessionPlaces(database)
        self.session_roles = SessionRoles(database)
        self.session_revocations = SessionRevocations(database)
        self.account_login_methods = AccountLoginMethods(database)
        self.email_changes = EmailChanges(database)
        self.directory = Directory(database)
        self.signing_keys = SigningKeys(database)
        self.server_keys = ServerKeyStore(database)
        self.sent_messages = SentMessages(database)
        self.room_members = RoomMembers(database)
        self.facts = FactStore(database, kept=timedelta(days=settings.facts.events_days))
        self.device_presence = DevicePresence(database)
        self.webhooks = WebhookStore(database)
        self.webhook_deliveries = WebhookDeliveries(database)

    @property
    def indexed(self) -> Sequence[Indexed]:
        """The stores that declare indexes."""
        return (
            self.users,
            self.one_time_tokens,
            self.challenges,
            self.factor_secrets,
            self.approvals,
            self.identities,
            self.passkeys,
            self.audit_events,
            self.outbox,
            self.sessions,
            self.session_endings,
            self.session_hooks,
            self.session_places,
            self.directory,
            self.signing_keys,
            self.sent_messages,
            self.room_members,
            self.facts,
            self.device_presence,
            self.webhook_deliveries,
        )


class Stores(Collections):
    """MongoDB and its stores."""

    def __init__(self, settings: Settings, url: str, *, tracing: "Tracing | None" = None) -> None:
        listeners = _command_spans(tracing) if tracing is not None else ()
        stores = settings.stores
        self.mongo = Mongo(url, stores.mongo_database, stores.mongo_driver, listeners=listeners)
        super().__init__(settings, self.mongo.database)
        self.session_changes = SessionsOfChanges(self.mongo.database)

    def change_feed(self) -> ChangeFeed:
        """A new feed of changes, to be opened."""
        return ChangeFeed(self.mongo.database)

    async def prepare(self) -> None:
        """Check the version of the database, and create missing indexes.

        Raises `DatabaseTooNew`, `Unavailable`, or `SettingsError` if MongoDB denies access.
        """
        with refusal_as_settings_error():
            await self.mongo.ping()
            with pymongo.timeout(PREPARE_SECONDS):
                version = await self.schema.check()
                if version < VERSION:
                    log.warning("schema_is_older", version=version, current=VERSION, command="server.py migrate")
                await self.facts.begin()
                await asyncio.gather(*(collection.ensure_indexes() for collection in self.indexed))


def _command_spans(tracing: "Tracing") -> "Sequence[CommandListener]":
    # Imports OpenTelemetry.
    from auth.stores.traced import CommandSpans

    return (CommandSpans(tracing),)
