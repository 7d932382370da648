"""The parts of a Vigil node needed for seeding and minting, created as in the composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from auth.core.clock import utc_now
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import LEEWAY, AccessTokens, RefreshTokens
from auth.platform.settings.settings import Settings
from auth.stores.stores import Stores
from bench.peer_vigil.vigil_environ import vigil_environ


@dataclass(frozen=True, slots=True)
class Parts:
    """Stores and tokens over the bench's database."""

    settings: Settings
    stores: Stores
    keys: KeyRing
    refresh_tokens: RefreshTokens

    def access_tokens(self, *, seconds: int | None = None) -> AccessTokens:
        """Return the issuer of access tokens, with a lifetime of `seconds` or the server's."""
        tokens = self.settings.tokens
        return AccessTokens(
            self.keys,
            issuer=self.settings.issuer,
            audience=tokens.audience,
            lifetime=timedelta(seconds=seconds or tokens.access_token_seconds),
        )


@asynccontextmanager
async def open_parts() -> AsyncIterator[Parts]:
    """Connect to the stores; creates the signing keys if there are none."""
    settings = Settings.load(vigil_environ())
    assert settings.stores.mongo_url is not None
    assert settings.tokens.secret_key is not None
    stores = Stores(settings, settings.stores.mongo_url.get_secret_value())
    root = RootSecret(settings.tokens.secret_key.get_secret_value().encode())
    life = timedelta(seconds=settings.tokens.access_token_seconds) + LEEWAY
    await stores.prepare()
    keys = KeyRing(stores.signing_keys, root.derive("signing keys"), token_life=life, clock=utc_now)
    await keys.start()
    try:
        yield Parts(settings, stores, keys, RefreshTokens(root.derive("refresh tokens")))
    finally:
        await keys.close()
        await stores.mongo.close()
