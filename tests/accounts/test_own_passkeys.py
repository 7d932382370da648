"""One's own passkeys on real stores, and what happens to the account while one is added or taken off."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.passkeys import SoftPasskey

from auth.errors import Conflict, RateLimited, SessionRevoked
from auth.models import Actor, Passkey, Principal, RevocationReason, SessionsToEnd, User
from auth.own_passkeys import OwnPasskeys
from auth.own_phone import PhoneWay
from auth.passkeys import PasskeyCeremonies, PasskeyWay
from auth.relying_party import RelyingParty
from auth.stores.passkeys import Passkeys
from auth.ways_in import PasswordWay, WaysIn

ORIGIN = "http://localhost:8000"
NUMBER = "+31612345678"

Meanwhile = Callable[[], Awaitable[Any]]


class BusyPasskeys(Passkeys):
    """The real store, with something that happens right after a passkey was added or removed."""

    meanwhile: Meanwhile | None = None

    async def add(self, passkey: Passkey) -> None:
        await super().add(passkey)
        await self._meanwhile()

    async def remove(self, user_id: str, credential_id: bytes) -> Passkey | None:
        removed = await super().remove(user_id, credential_id)
        await self._meanwhile()
        return removed

    async def _meanwhile(self) -> None:
        then, self.meanwhile = self.meanwhile, None
        if then is not None:
            await then()


@dataclass
class Keys:
    """A user's passkeys and the operations on them."""

    world: Any
    store: BusyPasskeys
    own: OwnPasskeys

    async def add(self, principal: Principal) -> Passkey:
        options = await self.own.begin(principal, client=self.world.client())
        credential = SoftPasskey(ORIGIN).create(options)
        return await self.own.add(principal, credential, name=None, client=self.world.client())

    async def remove(self, principal: Principal, passkey: Passkey) -> None:
        await self.own.remove(principal, passkey.credential_id, client=self.world.client())


@pytest.fixture
async def keys(world: Any) -> Keys:
    store = BusyPasskeys(world.mongo.database)
    await store.ensure_indexes()
    party = RelyingParty(rp_id="localhost", name="Vigil", origins=[ORIGIN])
    joined = {
        "store": store,
        "party": party,
        "users": world.users,
        "notice": world.mailer,
        "limits": world.limits,
        "audit": world.audit,
        "clock": lambda: world.now,
    }
    own = OwnPasskeys(
        ceremonies=PasskeyCeremonies(challenges=world.challenges, **joined),
        step_up=world.step_up,
        ways_in=WaysIn([PasswordWay(), PasskeyWay(store), PhoneWay(enabled=True)]),
        second_factors=world.second_factors,
        codes=world.factor_secrets,
        **joined,
    )
    return Keys(world, store, own)


@pytest.fixture
async def user(world: Any) -> User:
    """Somebody whose only ways in are a phone, and the passkeys that they will add."""
    ada = await world.verified_user()
    await world.users.bind_phone(ada.user_id, NUMBER, now=world.now)
    await world.mongo.database["users"].update_one({"_id": ada.user_id}, {"$set": {"passwordHash": None}})
    return ada


async def test_a_passkey_can_go_while_the_phone_is_a_way_in(world: Any, keys: Keys, user: User) -> None:
    ada = await world.act_as(user)
    await keys.remove(ada, await keys.add(ada))
    assert await keys.own.list(ada) == []


async def test_a_passkey_stays_whose_phone_is_taken_off_meanwhile(world: Any, keys: Keys, user: User) -> None:
    ada = await world.act_as(user)
    passkey = await keys.add(ada)
    keys.store.meanwhile = lambda: world.users.remove_phone(user.user_id, NUMBER)
    with pytest.raises(Conflict):
        await keys.remove(ada, passkey)
    assert await keys.own.list(ada) == [passkey]


async def test_a_session_that_a_new_password_ends_meanwhile_leaves_no_passkey_behind(
    world: Any, keys: Keys, user: User
) -> None:
    """Though it is live yet in its own document: ending it is on its way."""
    thief = await world.act_as(user)
    ends = SessionsToEnd("e", world.now, RevocationReason.PASSWORD_CHANGED, Actor("user"))
    keys.store.meanwhile = lambda: world.users.replace_password(
        user.user_id, after=user.credentials_version, new_hash="new", ends=ends, now=world.now
    )
    with pytest.raises(SessionRevoked):
        await keys.add(thief)
    assert await keys.own.list(thief) == []


async def test_passkeys_are_added_and_taken_off_no_more_often_than_is_allowed(
    world: Any, keys: Keys, user: User
) -> None:
    ada = await world.act_as(user)
    for _ in range(5):
        await keys.remove(ada, await keys.add(ada))
    with pytest.raises(RateLimited):
        await keys.add(ada)
    assert await keys.own.list(ada) == []
