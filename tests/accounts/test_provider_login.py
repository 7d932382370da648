"""Logging in by a provider, on real stores: what races, what was cut off, and what an address is worth."""

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from auth.core.errors import (
    AccountLocked,
    Conflict,
    EmailNotVerified,
    InvalidCredentials,
    InvalidToken,
    RateLimited,
    SessionRevoked,
    StepUpRequired,
    Unavailable,
)
from auth.core.models import SYSTEM, RevocationReason, SessionsToEnd, TokenDelivery, User
from auth.login.admission import LoggedIn
from auth.login.methods import LoginMethods, PasswordMethod
from auth.login.providers.claims import Claims
from auth.login.providers.links import LinkedIdentities, ProviderMethod
from auth.login.providers.login import ProviderLogin
from auth.login.providers.registry import make_providers
from auth.login.providers.visits import Link, ProviderFlows
from auth.platform.http_client import HttpClient
from auth.platform.settings.providers import ProviderConfig
from auth.stores.identities import Identities, Identity
from auth.stores.users.login_methods import AccountLoginMethods

ADA = Claims(
    "https://one.example", "1", "ada@example.org", email_verified=True, name="Ada", label="ada@example.org"
)
GITHUB = ProviderConfig("github", "GitHub", "github", "https://github.com", "vigil", SecretStr("s"), "GITHUB")
UNSURE = replace(ADA, email_verified=False)


class Providers:
    """The operations on a provider's users, beside the world's own."""

    def __init__(self, world: Any, *, require_verified_email: bool = True) -> None:
        self.world = world
        self.store = Identities(world.mongo.database)
        self.login = ProviderLogin(
            world.services,
            identities=self.store,
            registration=world.registration,
            admission=world.admission,
            require_verified_email=require_verified_email,
        )
        self.flows = ProviderFlows(
            world.services,
            make_providers([GITHUB], web=HttpClient(), clock=lambda: world.now),
            challenges=world.challenges,
            redirect_base="https://vigil.example/api/auth",
        )
        self.linked = LinkedIdentities(
            world.services,
            identities=self.store,
            sessions=world.session_store,
            flows=self.flows,
            login_methods=LoginMethods(
                [PasswordMethod(), ProviderMethod(self.store, [ADA.issuer, "https://two.example"])],
                world.users,
                AccountLoginMethods(world.mongo.database),
            ),
            step_up=world.step_up,
        )

    async def enter(self, claims: Claims = ADA) -> User:
        result = await self.login.log_in("one", claims, delivery=TokenDelivery.COOKIES, client=self.world.client())
        assert isinstance(result, LoggedIn)
        return result.user

    async def refused(self, claims: Claims) -> None:
        with pytest.raises(EmailNotVerified):
            await self.enter(claims)

    async def kinds(self, user: User | None) -> list[str]:
        return [event.kind for event in await self.world.audited(user)]


@pytest.fixture
def providers(world: Any) -> Providers:
    return Providers(world)


async def test_the_first_login_is_a_registration_and_is_audited(world: Any, providers: Providers) -> None:
    user = await providers.enter()
    assert (user.email, user.email_verified_at, user.password_hash) == ("ada@example.org", world.now, None)
    assert (user.name, user.username, user.roles) == ("Ada", None, ())
    assert sorted(await providers.kinds(user)) == ["login", "registered"]
    assert await providers.enter() == user
    assert [started["amr"] for _, started in world.sessions.started] == [("provider",)] * 2


async def test_first_logins_at_once_make_one_account(world: Any, providers: Providers) -> None:
    users = await asyncio.gather(*(providers.enter() for _ in range(12)))
    assert len({user.user_id for user in users}) == 1
    assert await world.mongo.database["users"].count_documents({}) == 1
    assert (await providers.kinds(users[0])).count("registered") == 1


async def test_two_people_with_one_address_at_once_make_one_account_and_a_conflict(
    world: Any, providers: Providers
) -> None:
    people = [replace(ADA, subject=str(number)) for number in range(8)]
    results = await asyncio.gather(*(providers.enter(each) for each in people), return_exceptions=True)
    assert sum(isinstance(each, User) for each in results) == 1
    assert sum(isinstance(each, Conflict) for each in results) == 7
    assert await world.mongo.database["identities"].count_documents({}) == 1


async def test_a_login_that_was_cut_off_after_the_identity_is_finished_by_the_next(
    world: Any, providers: Providers
) -> None:
    cut_off = Identity("i", ADA.issuer, ADA.subject, "user-to-be", "one", "Ada", world.now, world.now)
    await providers.store.claim(cut_off)
    assert (await providers.enter()).user_id == "user-to-be"


async def test_somebody_who_registers_the_address_in_between_keeps_it(world: Any, providers: Providers) -> None:
    owner = await world.verified_user(ADA.email)
    for claims in (ADA, replace(ADA, email="ADA@EXAMPLE.ORG")):
        with pytest.raises(Conflict):
            await providers.enter(claims)
    assert await providers.store.of_user(owner.user_id) == []
    assert "login_failed" in await providers.kinds(owner)


async def test_a_locked_account_stays_out(world: Any, providers: Providers) -> None:
    user = await providers.enter()
    await world.mongo.database["users"].update_one({"_id": user.user_id}, {"$set": {"lockedAt": world.now}})
    with pytest.raises(AccountLocked):
        await providers.enter()


class TestUnconfirmedRegistrations:
    """Somebody registered the address first and never confirmed it: its owner comes by a provider that vouches."""

    async def registered(self, world: Any, email: str = "ada@example.org") -> User:
        await world.register(email, name="Eve", username="eve")
        user: User = await world.users.by_email(email)
        return user

    async def test_the_owner_gets_the_account_without_what_the_stranger_brought(
        self, world: Any, providers: Providers
    ) -> None:
        strangers = await self.registered(world)
        user = await providers.enter()
        assert user.user_id == strangers.user_id
        assert (user.email_verified_at, user.password_hash) == (world.now, None)
        assert (user.name, user.username, user.sessions_to_end) == ("Ada", None, None)
        assert world.sessions.ended == [(user.user_id, RevocationReason.PASSWORD_CHANGED)]
        assert "email_verified" in await providers.kinds(user)
        with pytest.raises(InvalidCredentials):
            await world.login(ADA.email)
        for link in await world.links_to(ADA.email):
            with pytest.raises(InvalidToken):
                await world.registration.verify_email(link, world.client())
        assert (await providers.enter()).user_id == user.user_id

    async def test_a_provider_that_does_not_vouch_gets_nothing(self, world: Any, providers: Providers) -> None:
        strangers = await self.registered(world)
        await providers.refused(UNSURE)
        assert await providers.store.of_user(strangers.user_id) == []
        assert (await world.users.by_id(strangers.user_id)).email_verified_at is None

    async def test_a_stranger_s_login_by_the_same_provider_is_void(self, world: Any, providers: Providers) -> None:
        await providers.refused(replace(UNSURE, subject="stranger"))
        user = await providers.enter()
        assert [each.subject for each in await providers.store.of_user(user.user_id)] == [ADA.subject]
        assert "identity_voided" in await providers.kinds(user)
        with pytest.raises((Conflict, EmailNotVerified)):
            await providers.enter(replace(UNSURE, subject="stranger"))

    async def test_whom_the_provider_vouches_for_later_needs_no_link_any_more(
        self, world: Any, providers: Providers
    ) -> None:
        await providers.refused(UNSURE)
        user = await providers.enter(ADA)
        assert user.email_verified_at == world.now
        (identity,) = await providers.store.of_user(user.user_id)
        assert identity.registration_id is None

    async def test_many_logins_at_once_get_one_account(self, world: Any, providers: Providers) -> None:
        strangers = await self.registered(world)
        users = await asyncio.gather(*(providers.enter() for _ in range(8)), return_exceptions=True)
        assert {each.user_id for each in users if isinstance(each, User)} == {strangers.user_id}
        assert len(await providers.store.of_user(strangers.user_id)) == 1
        assert (await providers.kinds(strangers)).count("email_verified") == 1

    async def test_an_identity_that_another_login_voids_meanwhile_is_there_in_the_end(
        self, world: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        strangers = await self.registered(world)
        confirm = world.registration.confirm_by_provider

        async def voided_meanwhile(user: User, *args: Any, **values: Any) -> Any:
            for identity in await providers.store.of_user(user.user_id):
                await providers.store.remove(user.user_id, identity.identity_id)
            return await confirm(user, *args, **values)

        monkeypatch.setattr(world.registration, "confirm_by_provider", voided_meanwhile)
        assert (await providers.enter()).user_id == strangers.user_id
        assert (await providers.enter()).user_id == strangers.user_id
        (identity,) = await providers.store.of_user(strangers.user_id)
        assert identity.registration_id is None

    @pytest.mark.parametrize("cut", ["mark_verified", "establish"])
    async def test_cut_off_anywhere_the_next_login_goes_on(
        self, world: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch, cut: str
    ) -> None:
        strangers = await self.registered(world)

        async def away(*_: Any, **__: Any) -> Any:
            raise Unavailable

        with monkeypatch.context() as patch:
            patch.setattr(world.users if cut == "mark_verified" else providers.store, cut, away)
            with pytest.raises(Unavailable):
                await providers.enter()
        assert (await providers.enter()).user_id == strangers.user_id
        (identity,) = await providers.store.of_user(strangers.user_id)
        assert identity.registration_id is None

    async def test_an_owner_who_confirms_by_the_link_in_between_voids_what_was_cut_off(
        self, world: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.registered(world)

        async def away(*_: Any, **__: Any) -> Any:
            raise Unavailable

        with monkeypatch.context() as patch:
            patch.setattr(world.users, "mark_verified", away)
            with pytest.raises(Unavailable):
                await providers.enter()
        owner = await world.registration.verify_email((await world.links_to(ADA.email))[0], world.client())
        with pytest.raises(Conflict):
            await providers.enter()
        assert await providers.store.of_user(owner.user_id) == []


class TestUnconfirmedAddresses:
    """Where a provider does not vouch for the address."""

    async def test_the_link_of_its_own_makes_it_whole(self, world: Any, providers: Providers) -> None:
        with pytest.raises(EmailNotVerified):
            await providers.enter(UNSURE)
        user = await world.registration.verify_email((await world.links_to(ADA.email))[0], world.client())
        assert await providers.enter(UNSURE) == user
        (identity,) = await providers.store.of_user(user.user_id)
        assert identity.registration_id is None

    async def test_the_owner_s_own_registration_voids_it(self, world: Any, providers: Providers) -> None:
        with pytest.raises(EmailNotVerified):
            await providers.enter(UNSURE)
        world.pass_time(milliseconds=1)
        owner = await world.verified_user(ADA.email)
        for claims in (UNSURE, ADA):
            with pytest.raises((EmailNotVerified, Conflict)):
                await providers.enter(claims)
        assert await providers.store.of_user(owner.user_id) == []
        assert "identity_voided" in await providers.kinds(owner)
        assert (await world.login(ADA.email)).user.user_id == owner.user_id

    async def test_a_confirmation_in_any_other_way_voids_it_too(self, world: Any, providers: Providers) -> None:
        """As a reset of the password is, which proves the mailbox as well."""
        with pytest.raises(EmailNotVerified):
            await providers.enter(UNSURE)
        user = await world.users.by_email(ADA.email)
        await world.mongo.database["users"].update_one(
            {"_id": user.user_id}, {"$set": {"emailVerifiedAt": world.now}}
        )
        with pytest.raises(Conflict):
            await providers.enter(ADA)
        assert await providers.store.of_user(user.user_id) == []

    async def test_who_asks_for_an_address_that_is_taken_is_answered_as_for_a_new_one(
        self, world: Any, providers: Providers
    ) -> None:
        await world.verified_user(ADA.email)
        with pytest.raises(EmailNotVerified) as known:
            await providers.enter(UNSURE)
        with pytest.raises(EmailNotVerified) as new:
            await providers.enter(replace(UNSURE, subject="2", email="new@example.org"))
        assert known.value.message == new.value.message
        assert (await world.mails_to(ADA.email))[0]["subject"] == "You already have an account"

    @pytest.mark.parametrize("mails", [5, 0])
    async def test_known_and_unknown_addresses_cost_the_same_work(self, world: Any, mails: int) -> None:
        await world.verified_user(ADA.email)
        if not mails:
            world.use_limits(limit_mail="1/hour")
            for email in (ADA.email, "new@example.org"):
                await world.limits.allows_mail("registration", email)
        providers = Providers(world)
        costs = set()
        for subject, email in (("2", ADA.email), ("3", "new@example.org")):
            before = await self.written(world)
            await providers.refused(replace(UNSURE, subject=subject, email=email))
            costs.add(await self.written(world) - before)
        assert costs == {6 if mails else 5}

    async def test_so_do_later_logins_with_the_same_address_and_they_are_limited_alike(
        self, world: Any, providers: Providers
    ) -> None:
        """Though there is an account to be found by then: it is mailed and counted as if there were none."""
        await world.verified_user(ADA.email)
        people = [replace(UNSURE, subject=email, email=email) for email in ("ada@example.org", "new@example.org")]
        for each in people:
            await providers.refused(each)
        costs = []
        for each in people:
            before = await self.written(world)
            await providers.refused(each)
            costs.append(await self.written(world) - before)
        # A use of the identity is noted in it, and is no document of its own.
        assert costs == [6, 5]
        world.use_limits(limit_register="1/hour")
        await world.limits.hit("register", world.client().ip)
        limited = Providers(world)
        for each in people:
            with pytest.raises(RateLimited):
                await limited.enter(each)

    async def written(self, world: Any) -> int:
        names = ("mails", "one_time_tokens", "audit_events", "identities", "users")
        return sum([await world.mongo.database[name].count_documents({}) for name in names])

    @pytest.mark.parametrize("known", [True, False])
    async def test_a_later_login_with_an_address_of_one_s_own_does_not_tell_whether_the_first_was_known(
        self, world: Any, providers: Providers, known: bool
    ) -> None:
        """Whoever owns neither the account nor the address is in, each time, as somebody new."""
        if known:
            await world.verified_user(ADA.email)
        await providers.refused(UNSURE)
        own = await providers.enter(replace(ADA, email="own@example.org"))
        assert (own.email, own.email_verified_at) == ("own@example.org", world.now)

    @pytest.mark.parametrize("email", ["other@example.org", None])
    async def test_an_address_that_its_provider_says_no_more_stands_for_no_account(
        self, world: Any, providers: Providers, email: str | None
    ) -> None:
        await providers.refused(UNSURE)
        await providers.refused(replace(UNSURE, email=email))
        victims = await world.users.by_email(ADA.email)
        assert await providers.store.of_user(victims.user_id) == []
        assert "identity_voided" in await providers.kinds(victims)

    async def test_the_same_address_in_other_letters_is_the_same(self, world: Any, providers: Providers) -> None:
        for email in (ADA.email, "ADA@Example.org"):
            await providers.refused(replace(UNSURE, email=email))
        assert len(await providers.store.of_user((await world.users.by_email(ADA.email)).user_id)) == 1

    @pytest.mark.parametrize("first", [ADA, UNSURE])
    async def test_of_two_visits_at_once_the_address_nobody_confirmed_binds_the_identity(
        self, world: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch, first: Claims
    ) -> None:
        """The first one has claimed the identity and is slow; the second makes the account."""
        slow, resumed = asyncio.Event(), asyncio.Event()
        claim = providers.store.claim

        async def claim_slowly(identity: Identity) -> Identity:
            claimed = await claim(identity)
            slow.set()
            await resumed.wait()
            return claimed

        with monkeypatch.context() as patch:
            patch.setattr(providers.store, "claim", claim_slowly)
            visit = asyncio.create_task(providers.enter(replace(first, email="own@example.org")))
            await slow.wait()
        await providers.refused(UNSURE)
        world.pass_time(milliseconds=1)
        owner = await world.verified_user(ADA.email)
        resumed.set()
        with contextlib.suppress(EmailNotVerified):
            assert (await visit).email == "own@example.org"
        for claims in (UNSURE, replace(ADA, email="own@example.org")):
            with contextlib.suppress(EmailNotVerified, Conflict):
                assert (await providers.enter(claims)).user_id != owner.user_id
        assert await providers.store.of_user(owner.user_id) == []

    async def test_its_registration_is_kept_when_no_mail_may_go(self, world: Any) -> None:
        """A new link that is asked for later is for it, and makes the identity whole."""
        world.use_limits(limit_mail="1/hour")
        providers = Providers(world)
        await world.limits.allows_mail("registration", ADA.email)
        await providers.refused(UNSURE)
        assert await world.links_to(ADA.email) == []
        await world.registration.resend(ADA.email, world.client())
        user = await world.registration.verify_email((await world.links_to(ADA.email))[0], world.client())
        assert await providers.enter(UNSURE) == user

    async def test_a_link_asked_for_elsewhere_voids_it_and_ends_its_sessions(self, world: Any) -> None:
        """Neither has a password, so that this cannot tell the stranger's account from the owner's."""
        world.use_limits(require_verified_email=False)
        providers = Providers(world, require_verified_email=False)
        strangers = await providers.enter(UNSURE)
        world.pass_time(milliseconds=1)
        await world.registration.resend(ADA.email, world.client("198.51.100.7"))
        owner = await world.registration.verify_email((await world.links_to(ADA.email))[0], world.client())
        assert world.sessions.ended == [(strangers.user_id, RevocationReason.PASSWORD_CHANGED)]
        with pytest.raises(Conflict):
            await providers.enter(UNSURE)
        assert await providers.store.of_user(owner.user_id) == []

    async def test_where_unverified_users_log_in_another_address_at_the_provider_changes_nothing(
        self, world: Any
    ) -> None:
        """There an address that is known is said to be, and the account may be in use."""
        world.use_limits(require_verified_email=False)
        providers = Providers(world, require_verified_email=False)
        user = await providers.enter(UNSURE)
        assert await providers.enter(replace(UNSURE, email="moved@example.org")) == user

    async def test_mails_to_one_address_are_few(self, world: Any) -> None:
        world.use_limits(limit_mail="2/hour")
        providers = Providers(world)
        await world.verified_user(ADA.email)
        for number in range(5):
            with pytest.raises(EmailNotVerified):
                await providers.enter(replace(UNSURE, subject=str(number)))
        assert len(await world.mails_to(ADA.email)) == 2

    async def test_where_addresses_need_no_confirmation_it_lets_in(self, world: Any) -> None:
        world.use_limits(require_verified_email=False)
        providers = Providers(world, require_verified_email=False)
        user = await providers.enter(UNSURE)
        assert user.email_verified_at is None
        with pytest.raises(Conflict):
            await providers.enter(replace(UNSURE, subject="2"))


class TestLinking:
    """A link belongs to the session that began it."""

    @pytest.fixture
    async def owner(self, world: Any) -> User:
        return await world.verified_user("owner@example.org")

    async def test_a_link_is_audited_and_told_once(self, world: Any, providers: Providers, owner: User) -> None:
        principal = await world.act_as(owner)
        link = Link(owner.user_id, principal.session_id)
        results = [providers.linked.link("one", link, ADA, client=world.client()) for _ in range(6)]
        await asyncio.gather(*results)
        assert (await providers.kinds(owner)).count("identity_linked") == 1
        assert [mail["subject"] for mail in await world.mails_to(owner.email)].count(
            "Another way to log in was added"
        ) == 1
        assert (await providers.enter()).user_id == owner.user_id

    async def test_linked_by_two_accounts_at_once_it_is_one_s(self, world: Any, providers: Providers) -> None:
        users = [await world.verified_user(f"user{number}@example.org") for number in range(2)]
        links = [Link(user.user_id, (await world.act_as(user)).session_id) for user in users]
        results = await asyncio.gather(
            *(providers.linked.link("one", link, ADA, client=world.client()) for link in links),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in results) == ["Conflict", "NoneType"]

    async def test_a_session_that_has_ended_links_nothing(
        self, world: Any, providers: Providers, owner: User
    ) -> None:
        principal = await world.act_as(owner)
        stranger = await world.verified_user("stranger@example.org")
        for link in (
            Link(owner.user_id, "none"),
            Link("nobody", principal.session_id),
            Link(stranger.user_id, principal.session_id),
        ):
            with pytest.raises(SessionRevoked):
                await providers.linked.link("one", link, ADA, client=world.client())
        world.pass_time(days=8)
        with pytest.raises(SessionRevoked):
            await providers.linked.link(
                "one", Link(owner.user_id, principal.session_id), ADA, client=world.client()
            )
        assert await providers.store.find(ADA.issuer, ADA.subject) is None

    async def test_a_session_that_a_change_of_the_account_ends_links_nothing(
        self, world: Any, providers: Providers, owner: User
    ) -> None:
        """From the moment of the change on, whether or not somebody got to ending it."""
        principal = await world.act_as(owner)
        await world.users.replace_password(
            owner.user_id,
            after=owner.credentials_version,
            new_hash="new",
            ends=SessionsToEnd("change", world.now, RevocationReason.PASSWORD_CHANGED, SYSTEM),
            now=world.now,
        )
        with pytest.raises(SessionRevoked):
            await providers.linked.link(
                "one", Link(owner.user_id, principal.session_id), ADA, client=world.client()
            )

    async def test_an_identity_whose_account_never_came_to_be_can_be_linked(
        self, world: Any, providers: Providers, owner: User
    ) -> None:
        """A first login was cut off between the two; then the person registered by password."""
        cut_off = Identity(
            "i", ADA.issuer, ADA.subject, "never", "one", "Ada", world.now, world.now, registration_id="r"
        )
        await providers.store.claim(cut_off)
        principal = await world.act_as(owner)
        link = Link(owner.user_id, principal.session_id)
        await asyncio.gather(*(providers.linked.link("one", link, ADA, client=world.client()) for _ in range(6)))
        assert (await providers.kinds(owner)).count("identity_linked") == 1
        (identity,) = await providers.store.of_user(owner.user_id)
        assert (identity.label, identity.registration_id) == (ADA.label, None)
        assert (await providers.enter()).user_id == owner.user_id

    async def test_an_account_that_never_came_to_be_gives_nobody_a_second_identity(
        self, world: Any, providers: Providers, owner: User
    ) -> None:
        link = Link(owner.user_id, (await world.act_as(owner)).session_id)
        await providers.linked.link("one", link, ADA, client=world.client())
        second = replace(ADA, subject="2")
        await providers.store.claim(
            Identity("i", second.issuer, second.subject, "never", "one", "Ada", world.now, world.now)
        )
        with pytest.raises(Conflict):
            await providers.linked.link("one", link, second, client=world.client())

    async def test_a_locked_account_links_nothing(self, world: Any, providers: Providers, owner: User) -> None:
        principal = await world.act_as(owner)
        await world.mongo.database["users"].update_one({"_id": owner.user_id}, {"$set": {"lockedAt": world.now}})
        with pytest.raises(AccountLocked):
            await providers.linked.link(
                "one", Link(owner.user_id, principal.session_id), ADA, client=world.client()
            )

    async def test_asvs_7_5_1_both_want_a_young_proof(self, world: Any, providers: Providers, owner: User) -> None:
        old = await world.act_as(owner)
        world.pass_time(minutes=10, seconds=1)
        with pytest.raises(StepUpRequired):
            await providers.linked.unlink(old, secrets.token_hex(16), client=world.client())
        with pytest.raises(StepUpRequired):
            await providers.linked.begin(old, "github", return_to=None)
        young = await world.act_as(owner)
        assert (await providers.linked.begin(young, "github", return_to=None)).url.startswith(GITHUB.issuer)

    async def test_of_the_last_two_ways_in_one_stays(self, world: Any, providers: Providers) -> None:
        user = await providers.enter()
        principal = await world.act_as(user)
        second = replace(ADA, issuer="https://two.example")
        link = Link(user.user_id, principal.session_id)
        await providers.linked.link("two", link, second, client=world.client())
        identities = await providers.store.of_user(user.user_id)
        await asyncio.gather(
            *(providers.linked.unlink(principal, each.identity_id, client=world.client()) for each in identities),
            return_exceptions=True,
        )
        assert await providers.store.of_user(user.user_id)

    async def test_an_identity_of_a_provider_that_is_gone_is_no_way_in(
        self, world: Any, providers: Providers
    ) -> None:
        user = await providers.enter()
        principal = await world.act_as(user)
        world.pass_time(milliseconds=1)
        gone = replace(ADA, issuer="https://gone.example")
        await providers.linked.link("gone", Link(user.user_id, principal.session_id), gone, client=world.client())
        first, second = await providers.store.of_user(user.user_id)
        with pytest.raises(Conflict):
            await providers.linked.unlink(principal, first.identity_id, client=world.client())
        await providers.linked.unlink(principal, second.identity_id, client=world.client())
        assert [each.issuer for each in await providers.store.of_user(user.user_id)] == [ADA.issuer]
