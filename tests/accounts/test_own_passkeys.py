"""One's own passkeys on real stores, and what happens to the account while one is added or taken off."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.passkeys import SoftPasskey

from auth.core.errors import RateLimited, SessionRevoked
from auth.core.models import Actor, Passkey, Principal, RevocationReason, SessionsToEnd, User
from auth.login.methods import LoginMethods, PasswordMethod
from auth.login.passkeys.login import PasskeyCeremonies, PasskeyMethod
from auth.login.passkeys.manage import OwnPasskeys
from auth.login.passkeys.relying_party import RelyingParty
from auth.login.phones.manage import PhoneMethod
from auth.stores.passkeys import Passkeys
from auth.stores.users.login_methods import AccountLoginMethods

ORIGIN = "http://localhost:8000"
NUMBER = "+31612345678"

Meanwhile = Callable[[], Awaitable[Any]]


class BusyPasskeys(Passkeys):
    """The real store, with something that happens right after a passkey was added."""

    meanwhile: Meanwhile | None = None

    async def add(self, passkey: Passkey) -> None:
        await super().add(passkey)
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
    party = RelyingParty(rp_id="localhost", name="Vigil", origins=[ORIGIN])
    own = OwnPasskeys(
        world.services,
        ceremonies=PasskeyCeremonies(world.services, store=store, challenges=world.challenges, party=party),
        store=store,
        party=party,
        step_up=world.step_up,
        login_methods=LoginMethods(
            [PasswordMethod(), PasskeyMethod(store), PhoneMethod(enabled=True)],
            world.users,
            AccountLoginMethods(world.mongo.database),
        ),
        second_factors=world.second_factors,
        codes=world.factor_secrets,
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
