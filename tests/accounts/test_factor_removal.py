"""Factors taken off for who cannot log in: once, of that mailbox alone, and never the last way in."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from support.parts import without_init

from auth.alerts.factor_removal import FactorRemoval
from auth.core.clock import iso
from auth.core.errors import Conflict, InvalidToken, Unavailable
from auth.core.models import Passkey, RevocationReason, User
from auth.login.methods import LoginMethod, LoginMethods, PasswordMethod
from auth.login.passkeys.login import PasskeyFactor, PasskeyMethod
from auth.login.passkeys.manage import OwnPasskeys
from auth.login.phones.manage import OwnPhone, PhoneMethod
from auth.login.providers.links import LinkedIdentities, ProviderMethod
from auth.notifications.mail_contents import IdentityLinked, PasskeyAdded, PhoneAdded, TotpEnabled
from auth.notifications.undo_links import AddedMethod
from auth.stores.identities import Identities, Identity
from auth.stores.passkeys import Passkeys
from auth.stores.users.login_methods import AccountLoginMethods

NUMBER = "+31612345678"
ISSUER = "https://one.example"
LINK = re.compile(r"factors/undo\?token=(\S+)")


@dataclass
class Account:
    """Ada's account, and what can be taken off it."""

    world: Any
    user: User = field(init=False)
    removal: FactorRemoval = field(init=False)

    async def open(self) -> None:
        world = self.world
        self.passkeys, self.identities = Passkeys(world.mongo.database), Identities(world.mongo.database)
        world.factors = [*world.factors, PasskeyFactor(None, self.passkeys)]  # type: ignore[arg-type]
        world.use_limits()
        kinds: list[LoginMethod] = [
            PasswordMethod(),
            PasskeyMethod(self.passkeys),
            ProviderMethod(self.identities, [ISSUER]),
            PhoneMethod(enabled=True),
        ]
        ways = LoginMethods(kinds, world.users, AccountLoginMethods(world.mongo.database))
        self.removal = FactorRemoval(
            world.services,
            tokens=world.tokens,
            two_factor=world.two_factor,
            passkeys=without_init(
                OwnPasskeys,
                _store=self.passkeys,
                _login_methods=ways,
                _second_factors=world.second_factors,
                _codes=world.factor_secrets,
            ),
            phone=without_init(OwnPhone, _login_methods=ways),
            identities=without_init(LinkedIdentities, _identities=self.identities, _login_methods=ways),
            endings=world.endings,
            step_up=world.step_up,
        )
        self.user = await world.verified_user()

    async def add_passkey(self, name: bytes = b"p") -> None:
        """As OwnPasskeys does, which asks a browser for it."""
        now = self.world.now
        passkey = Passkey(name, self.user.user_id, b"key", 0, "Passkey", (), False, now)
        await self.passkeys.add(passkey)
        added = AddedMethod("passkey", passkey.credential_id.hex())
        await self.world.mailer.tell(self.user, PasskeyAdded(at=now, ip="192.0.2.1", added=added))

    async def add_app(self) -> None:
        world, user_id = self.world, self.user.user_id
        expires_at = world.now + timedelta(minutes=10)
        await world.factor_secrets.begin_totp(user_id, sealed_secret=b"sealed", expires_at=expires_at)
        await world.factor_secrets.enable_totp(
            user_id, sealed_secret=b"sealed", used_step=1, code_digests=[b"code"], now=world.now
        )
        notice = TotpEnabled(at=world.now, ip="192.0.2.1", added=AddedMethod("totp", iso(world.now)))
        await world.mailer.tell(self.user, notice)

    async def add_phone(self) -> None:
        await self.world.users.bind_phone(self.user.user_id, NUMBER, now=self.world.now)
        notice = PhoneAdded(at=self.world.now, ip="192.0.2.1", added=AddedMethod("phone", NUMBER), number=NUMBER)
        await self.world.mailer.tell(self.user, notice)

    async def add_provider(self) -> None:
        now = self.world.now
        await self.identities.claim(Identity("i", ISSUER, "1", self.user.user_id, "one", "Ada", now, now))
        notice = IdentityLinked(at=now, ip="192.0.2.1", added=AddedMethod("identity", "i"), provider="One")
        await self.world.mailer.tell(self.user, notice)

    async def link(self) -> str:
        """The token of the newest mail's link."""
        text = (await self.world.mails_to(self.user.email))[0]["text"]
        found = LINK.search(text)
        assert found is not None, text
        return found[1]

    async def undo(self, token: str) -> tuple[str, ...]:
        self.world.pass_time(milliseconds=1)
        return (await self.removal.undo(token, client=self.world.client())).removed

    async def has(self) -> set[str]:
        """What is on the account."""
        user = await self.world.users.by_id(self.user.user_id)
        kept = await self.world.factor_secrets.of_user(user.user_id)
        there = {
            "totp": kept.totp is not None,
            "codes": bool(kept.codes_left),
            "passkey": await self.passkeys.has_any(user.user_id),
            "phone": user.phone_number is not None,
            "identity": bool(await self.identities.of_user(user.user_id)),
        }
        return {name for name, is_there in there.items() if is_there}

    async def forget_password(self) -> None:
        found = {"_id": self.user.user_id}
        await self.world.mongo.database["users"].update_one(found, {"$set": {"passwordHash": None}})


ADDING = {
    "totp": Account.add_app,
    "passkey": Account.add_passkey,
    "phone": Account.add_phone,
    "identity": Account.add_provider,
}


@pytest.fixture
async def account(world: Any) -> Account:
    made = Account(world)
    await made.open()
    return made


@pytest.mark.parametrize("kind", ADDING)
async def test_the_link_takes_off_what_the_mail_tells_of_and_ends_every_session(
    account: Account, kind: str
) -> None:
    await ADDING[kind](account)
    token = await account.link()
    assert (await account.removal.preview(token)).kind == kind
    assert kind in await account.has()
    assert await account.undo(token) == (kind,)
    assert await account.has() == set()
    world = account.world
    assert world.sessions.ended == [(account.user.user_id, RevocationReason.REVOKED)]
    assert "factor_undone" in [event.kind for event in await world.audited(account.user)]
    told = (await world.mails_to(account.user.email))[0]
    assert told["subject"] == "Login methods were removed from your account"
    assert await account.undo(token) == ()
    assert len(world.sessions.ended) == 1


@pytest.mark.parametrize("kind", ADDING)
async def test_everything_else_stays(account: Account, kind: str) -> None:
    for name, add in ADDING.items():
        await add(account)
        account.world.pass_time(milliseconds=1)
        if name == kind:
            token = await account.link()
    assert await account.undo(token) == (kind,)
    # Here they stand in for the app alone.
    gone = {kind, "codes"} if kind == "totp" else {kind}
    assert await account.has() == {"totp", "codes", "passkey", "phone", "identity"} - gone


async def test_an_old_link_takes_off_nothing_that_was_added_since(account: Account) -> None:
    await account.add_app()
    old = await account.link()
    account.world.pass_time(seconds=1)
    await account.world.factor_secrets.disable_totp(account.user.user_id)
    await account.add_app()
    assert await account.undo(old) == ()
    assert "totp" in await account.has()


@pytest.mark.parametrize("later", [timedelta(days=7), timedelta(days=6, hours=23)])
async def test_a_link_is_good_for_seven_days(account: Account, later: timedelta) -> None:
    await account.add_phone()
    token = await account.link()
    account.world.now += later
    if later < timedelta(days=7):
        assert await account.undo(token) == ("phone",)
    else:
        with pytest.raises(InvalidToken):
            await account.undo(token)


async def test_a_mailbox_that_the_account_has_left_undoes_nothing(account: Account) -> None:
    await account.add_phone()
    token = await account.link()
    moved = {"email": "new@example.org", "emailKey": "new@example.org"}
    await account.world.mongo.database["users"].update_one({"_id": account.user.user_id}, {"$set": moved})
    for act in (account.removal.preview, account.undo):
        with pytest.raises(InvalidToken):
            await act(token)
    assert "phone" in await account.has()


async def test_a_token_of_another_purpose_undoes_nothing(account: Account) -> None:
    await account.add_phone()
    (link, *_) = await account.world.links_to(account.user.email)
    for token in (link, "x", "a" * 43):
        with pytest.raises(InvalidToken):
            await account.undo(token)


async def test_the_only_way_in_stays_the_sessions_end_and_the_link_is_good_once_there_is_another(
    account: Account,
) -> None:
    await account.add_passkey()
    token = await account.link()
    await account.forget_password()
    with pytest.raises(Conflict):
        await account.undo(token)
    assert await account.has() == {"passkey"}
    assert account.world.sessions.ended == [(account.user.user_id, RevocationReason.REVOKED)]
    await account.add_phone()
    assert await account.undo(token) == ("passkey",)


async def test_cut_off_after_it_was_taken_off_the_link_ends_the_sessions_when_it_is_followed_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable

    await account.add_phone()
    token = await account.link()
    with monkeypatch.context() as patch:
        patch.setattr(account.world.sessions, "end_matching", away)
        patch.setattr(account.world.tokens, "consume", away)
        with pytest.raises(Unavailable):
            await account.undo(token)
    # Bound to end, whatever became of that node.
    user = await account.world.users.by_id(account.user.user_id)
    assert user.sessions_to_end.reason is RevocationReason.REVOKED
    assert await account.undo(token) == ()
    assert account.world.sessions.ended == [(account.user.user_id, RevocationReason.REVOKED)]


class TestLostFactors:
    """By whoever runs the server; tests/http/test_administration.py has administrators."""

    async def test_all_second_factors_go_and_the_ways_in_stay(self, account: Account) -> None:
        for add in ADDING.values():
            await add(account)
            account.world.pass_time(milliseconds=1)
        await account.add_passkey(b"another")
        account.world.pass_time(milliseconds=1)
        removal = await account.removal.by_operator("ada@example.org")
        assert removal is not None
        assert (removal.removed, removal.kept) == (("totp", "passkey"), ())
        assert await account.has() == {"phone", "identity"}
        assert account.world.sessions.ended == [(account.user.user_id, RevocationReason.ADMIN)]
        mail = (await account.world.mails_to(account.user.email))[0]
        assert "the operator of this service" in mail["text"]
        (event,) = [each for each in await account.world.audited(account.user) if each.kind == "factors_removed"]
        assert event.details == {"by": "system", "removed": "totp passkey", "kept": ""}

    async def test_a_passkey_that_is_the_only_way_in_stays_until_there_is_a_password(
        self, account: Account
    ) -> None:
        await account.forget_password()
        await account.add_passkey()
        removal = await account.removal.by_operator("ada@example.org")
        assert removal is not None
        assert (removal.removed, removal.kept) == ((), ("passkey",))
        assert await account.has() == {"passkey"}
        assert account.world.sessions.ended == []
        account.world.pass_time(milliseconds=1)
        reset = account.world.password_reset()
        await reset.ask(account.user.email, client=account.world.client())
        text = (await account.world.mails_to(account.user.email))[0]["text"]
        token = re.search(r"reset=(\S+)", text)
        assert token is not None
        await reset.reset(
            token[1], password="a gate of old larch", keep_sessions=False, client=account.world.client()
        )
        removal = await account.removal.by_operator("ada@example.org")
        assert removal is not None
        assert (removal.removed, removal.kept) == (("passkey",), ())

    async def test_of_two_passkeys_that_are_the_only_ways_in_one_stays(self, account: Account) -> None:
        await account.forget_password()
        await account.add_passkey()
        await account.add_passkey(b"another")
        removal = await account.removal.by_operator("ada@example.org")
        assert removal is not None
        assert (removal.removed, removal.kept) == (("passkey",), ("passkey",))
        assert len(await account.passkeys.of_user(account.user.user_id, limit=5)) == 1

    async def test_nobody_and_somebody_without_factors_are_left_alone(self, account: Account) -> None:
        assert await account.removal.by_operator("nobody@example.org") is None
        removal = await account.removal.by_operator("ada@example.org")
        assert removal is not None
        assert (removal.removed, removal.kept, removal.revoked.count) == ((), (), 0)
        assert account.world.sessions.ended == []


def test_what_was_added_is_in_no_log() -> None:
    assert NUMBER not in repr(AddedMethod("phone", NUMBER))
