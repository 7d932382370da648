"""The last way in stays, whatever is taken off at once and wherever taking one off is cut off."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.parts import without_init

from auth.core.errors import Conflict, Unavailable
from auth.core.models import Passkey, User
from auth.login.methods import LoginMethods, PasswordMethod
from auth.login.passkeys.login import PasskeyMethod
from auth.login.passkeys.manage import OwnPasskeys
from auth.login.phones.manage import OwnPhone, PhoneMethod
from auth.login.providers.links import LinkedIdentities, ProviderMethod
from auth.stores.identities import Identities, Identity
from auth.stores.passkeys import Passkeys
from auth.stores.users.login_methods import AccountLoginMethods

NUMBER = "+31612345678"
ISSUERS = ("https://one.example", "https://two.example")
# The writes of taking one off, in their order; before and after each an outage may come.
WRITES = ("claim_method", "remove_phone", "remove", "forget_method")
OF_KIND = {"phone": WRITES[1:2], "passkey": (WRITES[0], *WRITES[2:]), "identity": (WRITES[0], *WRITES[2:])}
CUTS = [
    (kind, write, moment) for kind, writes in OF_KIND.items() for write in writes for moment in ("before", "after")
]


@dataclass
class Outage:
    """MongoDB goes away before or after a certain write: it is done or it is not, and nobody hears which."""

    write: str = ""
    moment: str = ""

    def over(self, store: Any) -> Any:
        for name in WRITES:
            if hasattr(store, name):
                setattr(store, name, self._through(name, getattr(store, name)))
        return store

    def _through(self, name: str, call: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        async def through(*args: Any, **options: Any) -> Any:
            if (name, "before") == (self.write, self.moment):
                self._cut()
            result = await call(*args, **options)
            if (name, "after") == (self.write, self.moment):
                self._cut()
            return result

        return through

    def _cut(self) -> None:
        self.write = ""
        raise Unavailable


@dataclass
class Account:
    """Somebody without a password, who has a phone, two passkeys and two providers."""

    world: Any
    outage: Outage = field(default_factory=Outage)
    user: User = field(init=False)

    async def open(self) -> None:
        world = self.world
        self.users = world.users
        self.passkeys = self.outage.over(Passkeys(world.mongo.database))
        self.identities = self.outage.over(Identities(world.mongo.database))
        self.kinds = (
            PasswordMethod(),
            PasskeyMethod(self.passkeys),
            ProviderMethod(self.identities, ISSUERS),
            PhoneMethod(enabled=True),
        )
        self.ways = LoginMethods(
            self.kinds, self.users, self.outage.over(AccountLoginMethods(world.mongo.database))
        )
        ada = await world.verified_user()
        await world.mongo.database["users"].update_one({"_id": ada.user_id}, {"$set": {"passwordHash": None}})
        await self.users.bind_phone(ada.user_id, NUMBER, now=world.now)
        for number in range(2):
            await self.passkeys.add(a_passkey(ada, number, world.now))
            await self.identities.claim(an_identity(ada, ISSUERS[number], world.now))
        self.user = await self.users.by_id(ada.user_id)

    async def names(self) -> set[str]:
        """The ways in that there really are."""
        user = await self.users.by_id(self.user.user_id)
        return {name for kind in self.kinds for name in await kind.usable_methods(user)}

    async def discard(self, name: str) -> None:
        kind, _, which = name.partition(":")
        if kind == "phone":
            await without_init(OwnPhone, _users=self.users, _login_methods=self.ways).discard(self.user, NUMBER)
        elif kind == "passkey":
            passkeys = without_init(
                OwnPasskeys,
                _store=self.passkeys,
                _login_methods=self.ways,
                _second_factors=self.world.second_factors,
                _codes=self.world.factor_secrets,
            )
            await passkeys.discard(self.user, bytes.fromhex(which))
        else:
            identities = without_init(LinkedIdentities, _identities=self.identities, _login_methods=self.ways)
            await identities.discard(self.user, which)


def a_passkey(user: User, number: int, now: Any) -> Passkey:
    return Passkey(secrets.token_bytes(16), user.user_id, b"key", 0, f"Passkey {number}", (), False, now)


def an_identity(user: User, issuer: str, now: Any) -> Identity:
    return Identity(secrets.token_hex(16), issuer, "1", user.user_id, issuer[8:11], "Ada", now, now)


@pytest.fixture
async def account(world: Any) -> Account:
    made = Account(world)
    await made.open()
    return made


async def test_of_all_ways_taken_off_at_once_one_stays(account: Account) -> None:
    names = await account.names()
    assert len(names) == 5
    results = await asyncio.gather(*map(account.discard, names), return_exceptions=True)
    assert sorted(map(type, results), key=str) == sorted([Conflict, *[type(None)] * 4], key=str)
    assert len(await account.names()) == 1


async def test_taken_off_twice_at_once_a_way_is_taken_off_once(account: Account) -> None:
    (name, *_) = sorted(await account.names())
    await asyncio.gather(*(account.discard(name) for _ in range(5)), return_exceptions=True)
    assert len(await account.names()) == 4


@pytest.mark.parametrize(("kind", "write", "moment"), CUTS)
async def test_cut_off_anywhere_one_way_stays_and_the_rest_can_be_done(
    account: Account, kind: str, write: str, moment: str
) -> None:
    first, *others = sorted(await account.names(), key=lambda name: not name.startswith(kind))
    account.outage.write, account.outage.moment = write, moment
    with pytest.raises(Unavailable):
        await account.discard(first)
    decided = (write, moment) not in {("claim_method", "before"), ("remove_phone", "before")}
    stays = others[-1] if decided else first
    for name in others:
        if name != stays:
            await account.discard(name)
    # Gone or not, what was decided to go is not counted on.
    assert stays in await account.names()
    with pytest.raises(Conflict):
        await account.discard(stays)
    await asyncio.gather(account.discard(first), return_exceptions=True)
    assert await account.names() == {stays}
