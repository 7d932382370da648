"""MongoDB and its collections, each made once: the bottom of the composition root."""

import asyncio
from datetime import timedelta

from auth.settings import Settings
from auth.stores.account_parts import AccountParts
from auth.stores.approvals import Approvals as ApprovalStore
from auth.stores.audit_events import AuditEvents
from auth.stores.challenges import Challenges
from auth.stores.directory import Directory
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.identities import Identities
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.outbox import Outbox
from auth.stores.passkeys import Passkeys
from auth.stores.session_endings import SessionEndings as SessionEndingStore
from auth.stores.session_places import SessionPlaces
from auth.stores.session_roles import SessionRoles
from auth.stores.sessions import Sessions as SessionStore
from auth.stores.signing_keys import SigningKeys
from auth.stores.users import Users


class Stores:
    """MongoDB and its collections."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.mongo = Mongo(url, settings.stores.mongo_database, settings.stores.mongo_driver)
        database = self.mongo.database
        self.users = Users(database)
        self.one_time_tokens = OneTimeTokens(database)
        self.challenges = Challenges(database)
        self.factor_secrets = FactorSecrets(database)
        self.approvals = ApprovalStore(database)
        self.identities = Identities(database)
        self.passkeys = Passkeys(database)
        self.account_parts = AccountParts(database)
        self.audit_events = AuditEvents(database)
        self.outbox = Outbox(database, keep_content=settings.dev_outbox)
        self.sessions = SessionStore(database, revoked_kept=timedelta(days=settings.tokens.audit_days))
        self.session_endings = SessionEndingStore(database)
        self.session_places = SessionPlaces(database)
        self.session_roles = SessionRoles(database)
        self.directory = Directory(database)
        self.signing_keys = SigningKeys(database)

    async def ensure_indexes(self) -> None:
        """Create what indexes are missing. Raises `Unavailable`."""
        collections = (
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
            self.session_places,
            self.directory,
            self.signing_keys,
        )
        await asyncio.gather(*(collection.ensure_indexes() for collection in collections))
