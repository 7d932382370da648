"""Seeds users and sessions as the server writes them, with all optional fields set."""

import secrets
from datetime import datetime, timedelta

from auth.core.clock import utc_now
from auth.core.models import Device, Location, Session, TokenDelivery, User
from auth.crypto.passwords import Passwords
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import LEEWAY, AccessTokens, RefreshToken, RefreshTokens, hash_nonce
from auth.stores.mongo import Mongo
from auth.stores.sessions.store import SessionStore
from auth.stores.signing_keys import SigningKeys
from auth.stores.users.store import Users
from bench.peers import PASSWORD, TOKEN_SECONDS, Login
from bench.web_client import USER_AGENT

SESSIONS_PER_USER = 2
ISSUER = "vigil"
TOKEN_LIFE = timedelta(seconds=TOKEN_SECONDS)


async def seed(mongo_url: str, database: str, secret: str, users: int) -> list[Login]:
    """Create users with two consecutive sessions each, and tokens valid for a server with `secret`."""
    mongo = Mongo(mongo_url, database, "pymongo")
    root = RootSecret(secret.encode())
    signing_keys = SigningKeys(mongo.database)
    keys = KeyRing(signing_keys, root.derive("signing keys"), token_life=TOKEN_LIFE + LEEWAY, clock=utc_now)
    passwords = Passwords()
    try:
        await signing_keys.ensure_indexes()
        await keys.start()
        access = AccessTokens(keys, issuer=ISSUER, audience=ISSUER, lifetime=TOKEN_LIFE)
        refresh = RefreshTokens(root.derive("refresh tokens"))
        return await _write(mongo, access, refresh, await passwords.hash(PASSWORD), users)
    finally:
        passwords.close()
        await keys.close()
        await mongo.close()


async def _write(
    mongo: Mongo, access: AccessTokens, refresh: RefreshTokens, password_hash: str, count: int
) -> list[Login]:
    users = Users(mongo.database)
    sessions = SessionStore(mongo.database, revoked_kept=timedelta(days=90))
    await users.ensure_indexes()
    await sessions.ensure_indexes()
    seeded = []
    for number in range(count):
        now = utc_now()
        user = _user(number, password_hash, now)
        await users.create(user)
        for _ in range(SESSIONS_PER_USER):
            token = RefreshToken(secrets.token_hex(16), 0, secrets.token_bytes(16))
            session = _session(user, token, now)
            await sessions.create(session)
            signed, _ = access.mint(session, now=utc_now())
            seeded.append(Login(user.user_id, user.email, token.session_id, signed, refresh.mint(token)))
    # Clear the marks: otherwise the server would publish each session.
    published = {"$set": {"unpublished": []}, "$unset": {"unpublishedSince": ""}}
    await mongo.database["sessions"].update_many({}, published)
    return seeded


def _user(number: int, password_hash: str, now: datetime) -> User:
    return User(
        user_id=secrets.token_hex(16),
        email=f"person-{number:07}@mail.example.org",
        name="Ada Lovelace",
        username=f"ada-{number:07}",
        roles=("user",),
        created_at=now,
        email_verified_at=now,
        password_hash=password_hash,
    )


def _session(user: User, token: RefreshToken, now: datetime) -> Session:
    return Session(
        session_id=token.session_id,
        user_id=user.user_id,
        nonce_hash=hash_nonce(token.nonce),
        generation=0,
        confirmed=False,
        delivery=TokenDelivery.BODY,
        roles=user.roles,
        amr=("pwd",),
        device=Device("Chrome on Linux", "Chrome 140", "Linux", "desktop"),
        user_agent=USER_AGENT,
        ip="127.0.0.1",
        location=Location(None, "DE"),
        logged_in_at=now,
        last_seen_at=now,
        rotated_at=now,
        expires_at=now + timedelta(days=7),
        ends_at=now + timedelta(days=30),
    )
