"""The parts of a Vigil node that seeding and minting need, made as the composition root makes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from auth.clock import utc_now
from auth.keys import KeyRing
from auth.secrets import RootSecret
from auth.settings import Settings
from auth.tokens import LEEWAY, AccessTokens, RefreshTokens
from bench.peer_vigil.vigil_environ import vigil_environ
from stores import Stores


@dataclass(frozen=True, slots=True)
class Parts:
    """Stores and tokens over the bench's database."""

    settings: Settings
    stores: Stores
    keys: KeyRing
    refresh_tokens: RefreshTokens

    def access_tokens(self, *, seconds: int | None = None) -> AccessTokens:
        """A mint of access tokens, with another lifetime than the server's if given."""
        tokens = self.settings.tokens
        return AccessTokens(
            self.keys,
            issuer=self.settings.issuer,
            audience=tokens.audience,
            lifetime=timedelta(seconds=seconds or tokens.access_token_seconds),
        )


@asynccontextmanager
async def open_parts() -> AsyncIterator[Parts]:
    """Connect, with the signing keys made if there are none."""
    settings = Settings.load(vigil_environ())
    assert settings.stores.mongo_url is not None
    assert settings.tokens.secret_key is not None
    stores = Stores(settings, settings.stores.mongo_url.get_secret_value())
    root = RootSecret(settings.tokens.secret_key.get_secret_value().encode())
    life = timedelta(seconds=settings.tokens.access_token_seconds) + LEEWAY
    await stores.ensure_indexes()
    keys = KeyRing(stores.signing_keys, root.derive("signing keys"), token_life=life, clock=utc_now)
    await keys.start()
    try:
        yield Parts(settings, stores, keys, RefreshTokens(root.derive("refresh tokens")))
    finally:
        await keys.close()
        await stores.mongo.close()
