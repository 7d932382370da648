"""Registering, and proving that the address is one's own."""

import asyncio
import re
from typing import Any

import pytest

from auth.core.errors import InvalidCredentials, InvalidRequest, InvalidToken, RateLimited, Unavailable
from auth.core.models import RevocationReason, User
from auth.notifications.mail_templates import readable
from auth.stores.one_time_tokens import Purpose
from auth.stores.users.store import UsernameTaken

PASSWORD = "correct horse battery staple"
ADA = "ada@example.org"
ATTACKERS_PASSWORD = "the attacker's own secret"
RESET = re.compile(r"\?reset=([A-Za-z0-9_-]+)")


async def test_a_new_address_gets_a_link_and_becomes_an_account(world: Any) -> None:
    await world.register(ADA, name="  Ada Lovelace ", username="ada")
    [mail] = await world.mails_to(ADA)
    assert mail["subject"] == "Confirm your e-mail address"
    assert "https://vigil.example/api/auth/verify-email?token=" in mail["text"]
    user = await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert (user.email, user.name, user.username) == (ADA, "Ada Lovelace", "ada")
    assert user.email_verified_at == world.now
    assert (await world.login(ADA)).user.user_id == user.user_id


async def test_a_link_followed_twice_succeeds_twice_and_verifies_once(world: Any) -> None:
    await world.register(ADA)
    [token] = await world.links_to(ADA)
    first = await world.registration.verify_email(token, world.client())
    await world.users.set_password_hash(first.user_id, old_hash=first.password_hash or "", new_hash="changed")
    world.pass_time(hours=1)
    again = await world.registration.verify_email(token, world.client())
    assert again.email_verified_at == first.email_verified_at
    assert again.password_hash == "changed"
    assert [event.kind for event in await world.audited(first)].count("email_verified") == 1


async def test_a_link_followed_by_many_at_once_verifies_once(world: Any) -> None:
    await world.register(ADA)
    [token] = await world.links_to(ADA)
    users = await asyncio.gather(*(world.registration.verify_email(token, world.client()) for _ in range(10)))
    assert len({user.user_id for user in users}) == 1
    assert [event.kind for event in await world.audited(users[0])].count("email_verified") == 1


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 42 + "é", "A" * 5000, "../../etc", "\ud800" * 43])
async def test_a_token_that_was_never_mailed_is_refused(world: Any, token: str) -> None:
    with pytest.raises(InvalidToken):
        await world.registration.verify_email(token, world.client())


async def test_a_link_dies_after_a_day(world: Any) -> None:
    await world.register(ADA)
    [token] = await world.links_to(ADA)
    world.pass_time(hours=24)
    with pytest.raises(InvalidToken):
        await world.registration.verify_email(token, world.client())


async def test_registering_a_verified_address_changes_nothing_and_tells_its_owner(world: Any) -> None:
    before = await world.verified_user(ADA, name="Ada")
    await world.register("Ada@EXAMPLE.org", password=ATTACKERS_PASSWORD, name="Mallory", ip="203.0.113.9")
    assert await world.users.by_email(ADA) == before
    newest, _ = await world.mails_to(ADA)
    assert newest["subject"] == "You already have an account"
    assert "203.0.113.9" in newest["text"]
    assert "Mallory" not in newest["text"] + newest["html"]
    assert len(await world.links_to(ADA)) == 1


async def test_the_password_of_the_link_that_is_followed_counts(world: Any) -> None:
    """Classic pre-hijacking: the attacker registers first and waits for the owner to verify."""
    await world.register(ADA, password=ATTACKERS_PASSWORD, name="Mallory", ip="203.0.113.9")
    await world.register(ADA, name="Ada")
    owners_link, attackers_link = await world.links_to(ADA)
    user = await world.registration.verify_email(owners_link, world.client())
    assert user.name == "Ada"
    assert (await world.login(ADA)).user == user
    with pytest.raises(InvalidToken):
        await world.registration.verify_email(attackers_link, world.client())


async def test_a_later_registration_does_not_touch_an_earlier_one(world: Any) -> None:
    await world.register(ADA)
    await world.register(ADA, password=ATTACKERS_PASSWORD, ip="203.0.113.9")
    _, owners_link = await world.links_to(ADA)
    await world.registration.verify_email(owners_link, world.client())
    assert (await world.login(ADA)).user.email == ADA


async def test_a_mail_says_when_and_from_where_its_registration_was_made(world: Any) -> None:
    await world.register(ADA, ip="8.8.8.8")
    [mail] = await world.mails_to(ADA)
    for part in ("text", "html"):
        assert "8.8.8.8 (US)" in mail[part]
        assert readable(world.now) in mail[part]


async def test_a_new_link_is_for_the_registration_made_from_the_askers_address(world: Any) -> None:
    await world.register(ADA, name="Ada", ip="192.0.2.10")
    await world.register(ADA, password=ATTACKERS_PASSWORD, name="Mallory", ip="203.0.113.9")
    await world.registration.resend(ADA, world.client("192.0.2.10"))
    user = await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert user.name == "Ada"


async def test_a_new_link_says_when_and_from_where_its_registration_was_made(world: Any) -> None:
    await world.register(ADA, ip="8.8.8.8")
    registered = readable(world.now)
    world.pass_time(days=1)
    await world.registration.resend(ADA, world.client("8.8.8.8"))
    newest = (await world.mails_to(ADA))[0]
    assert registered in newest["text"]
    assert readable(world.now) not in newest["text"]


async def test_here_is_a_network_and_not_an_address(world: Any) -> None:
    """Whoever has one IPv6 address has 2^64 of them, and changes them every day."""
    await world.register(ADA, name="Ada", ip="2001:db8:1:2::1")
    await world.register(ADA, password=ATTACKERS_PASSWORD, name="Mallory", ip="2001:db8:1:3::1")
    await world.registration.resend(ADA, world.client("2001:db8:1:2:ffff::9"))
    user = await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert user.name == "Ada"


class TestLinksAskedForElsewhere:
    """Pre-hijacking by "send me the link again": from elsewhere, nobody's password comes into force."""

    async def confirm(self, world: Any, ip: str = "198.51.100.7") -> User:
        """The owner asks for a new link, and follows it."""
        await world.registration.resend(ADA, world.client(ip))
        return await world.registration.verify_email((await world.links_to(ADA))[0], world.client(ip))

    async def test_a_stranger_s_password_is_not_in_force(self, world: Any) -> None:
        await world.register(ADA, name="Ada", ip="192.0.2.10")
        await world.register(ADA, password=ATTACKERS_PASSWORD, name="Mallory", ip="203.0.113.9")
        user = await self.confirm(world)
        assert (user.email_verified_at, user.password_hash, user.name) == (world.now, None, None)
        for password in (ATTACKERS_PASSWORD, PASSWORD):
            with pytest.raises(InvalidCredentials):
                await world.login(ADA, password)

    async def test_nor_where_the_stranger_alone_registered(self, world: Any) -> None:
        await world.register(
            ADA, password=ATTACKERS_PASSWORD, name="Mallory", username="mallory", ip="203.0.113.9"
        )
        user = await self.confirm(world)
        assert (user.password_hash, user.name, user.username) == (None, None, None)

    async def test_nor_when_every_registration_is_forgotten(self, world: Any) -> None:
        await world.register(ADA, password=ATTACKERS_PASSWORD, ip="203.0.113.9")
        await world.mongo.database["one_time_tokens"].delete_many({})
        assert (await self.confirm(world)).password_hash is None

    async def test_nor_is_anything_that_came_with_the_account(self, world: Any) -> None:
        world.use_limits(require_verified_email=False)
        await world.register(ADA, password=ATTACKERS_PASSWORD, username="mallory", ip="203.0.113.9")
        await world.login(ADA, ATTACKERS_PASSWORD)
        user = await self.confirm(world)
        assert world.sessions.ended == [(user.user_id, RevocationReason.PASSWORD_CHANGED)]
        assert user.username is None

    async def test_its_links_are_all_for_the_same_and_the_earlier_ones_die(self, world: Any) -> None:
        await world.register(ADA, password=ATTACKERS_PASSWORD, ip="203.0.113.9")
        await world.registration.resend(ADA, world.client("198.51.100.7"))
        world.pass_time(milliseconds=1)
        user = await self.confirm(world)
        newest, earlier, strangers = await world.links_to(ADA)
        for link in (newest, earlier):
            assert await world.registration.verify_email(link, world.client()) == user
        with pytest.raises(InvalidToken):
            await world.registration.verify_email(strangers, world.client())

    async def test_the_mail_says_that_there_will_be_no_password(self, world: Any) -> None:
        await world.register(ADA, ip="203.0.113.9")
        world.pass_time(days=1)
        await world.registration.resend(ADA, world.client("8.8.8.8"))
        mail = (await world.mails_to(ADA))[0]
        for part in ("text", "html"):
            assert "no password" in mail[part]
            assert "8.8.8.8 (US)" in mail[part]
            assert readable(world.now) in mail[part]

    async def test_the_owner_sets_a_password_by_a_reset(self, world: Any) -> None:
        await world.register(ADA, password=ATTACKERS_PASSWORD, ip="203.0.113.9")
        user = await self.confirm(world)
        reset = world.password_reset()
        await reset.ask(ADA, client=world.client())
        [link] = [found[1] for mail in await world.mails_to(ADA) if (found := RESET.search(mail["text"]))]
        await reset.reset(link, password=PASSWORD, keep_sessions=False, client=world.client())
        assert (await world.login(ADA)).user.user_id == user.user_id


async def test_a_stranger_who_uses_up_the_mails_makes_no_registration_forgotten(world: Any) -> None:
    world.use_limits(limit_mail="2/hour")
    for _ in range(5):
        await world.register(ADA, password=ATTACKERS_PASSWORD, name="Mallory", ip="203.0.113.9")
    await world.register(ADA, name="Ada", ip="192.0.2.10")
    assert len(await world.mails_to(ADA)) == 2
    await world.registration.resend(ADA, world.client("192.0.2.10"))
    await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert (await world.login(ADA)).user.name == "Ada"


async def test_both_links_of_one_registration_succeed(world: Any) -> None:
    await world.register(ADA)
    await world.registration.resend(ADA, world.client())
    newer, older = await world.links_to(ADA)
    first = await world.registration.verify_email(newer, world.client())
    assert await world.registration.verify_email(older, world.client()) == first


async def test_a_new_link_outlives_the_first_one_with_the_same_password(world: Any) -> None:
    await world.register(ADA, password=ATTACKERS_PASSWORD, ip="203.0.113.9")
    await world.register(ADA)
    world.pass_time(days=3)
    await world.registration.resend(ADA, world.client())
    await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert (await world.login(ADA)).user.email == ADA


@pytest.mark.parametrize("email", ["nobody@example.org", ADA])
async def test_asking_for_a_link_that_nobody_waits_for_mails_nothing(world: Any, email: str) -> None:
    await world.verified_user(ADA)
    before = await world.outbox.newest()
    await world.registration.resend(email, world.client())
    assert await world.outbox.newest() == before


async def test_sessions_begun_before_verification_with_another_password_end(world: Any) -> None:
    world.use_limits(require_verified_email=False)
    await world.register(ADA, password=ATTACKERS_PASSWORD)
    await world.login(ADA, ATTACKERS_PASSWORD)
    await world.register(ADA)
    user = await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert world.sessions.ended == [(user.user_id, RevocationReason.PASSWORD_CHANGED)]


async def test_sessions_begun_before_verification_with_the_same_password_stay(world: Any) -> None:
    world.use_limits(require_verified_email=False)
    await world.register(ADA)
    await world.login(ADA)
    await world.registration.verify_email((await world.links_to(ADA))[0], world.client())
    assert world.sessions.ended == []


async def test_ending_those_sessions_is_made_up_for_by_a_second_click(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.register(ADA, password=ATTACKERS_PASSWORD)
    await world.register(ADA)
    token = (await world.links_to(ADA))[0]

    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(world.sessions, "end_matching", unavailable)
        await world.registration.verify_email(token, world.client())
    user = await world.registration.verify_email(token, world.client())
    await world.registration.verify_email(token, world.client())
    assert world.sessions.ended == [(user.user_id, RevocationReason.PASSWORD_CHANGED)]


async def test_asvs_6_3_8_known_and_unknown_addresses_cost_the_same_work(world: Any) -> None:
    await world.verified_user("verified@example.org")
    await world.register("unverified@example.org")
    costs = set()
    for email in ("verified@example.org", "unverified@example.org", "new@example.org"):
        hashed, database = world.passwords.hashed, world.mongo.database
        before = await count_documents(database)
        assert await world.registration.register(email=email, password=PASSWORD, client=world.client()) is None
        after = await count_documents(database)
        costs.add((world.passwords.hashed - hashed, after["mails"] - before["mails"],
                   after["one_time_tokens"] - before["one_time_tokens"],
                   after["audit_events"] - before["audit_events"]))  # fmt: skip
    assert costs == {(1, 1, 1, 1)}


async def count_documents(database: Any) -> dict[str, int]:
    names = ("mails", "one_time_tokens", "audit_events")
    return {name: await database[name].count_documents({}) for name in names}


async def test_of_many_registrations_at_once_one_makes_the_account(world: Any) -> None:
    world.use_limits(limit_mail="100/hour")
    await asyncio.gather(*(world.register(ADA, password=f"{PASSWORD} {n}") for n in range(10)))
    assert await world.mongo.database["users"].count_documents({}) == 1
    assert len(await world.links_to(ADA)) == 10


async def test_a_username_is_claimed_by_verification_and_then_taken_for_all(world: Any) -> None:
    await world.register("mallory@example.org", username="Countess")
    await world.verified_user(ADA, username="countess")
    link = (await world.links_to("mallory@example.org"))[0]
    assert (await world.registration.verify_email(link, world.client())).username is None
    for email in (ADA, "new@example.org"):
        with pytest.raises(InvalidRequest) as refused:
            await world.register(email, username="COUNTESS")
        assert [error.field for error in refused.value.errors] == ["username"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("email", {"email": "no address"}),
        ("email", {"email": "a@b"}),
        ("password", {"password": "password"}),
        ("password", {"password": "short"}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "a\u202eb"}),
        ("username", {"username": "a b"}),
    ],
)
async def test_wrong_values_are_refused_by_field(world: Any, field: str, values: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await world.register(**{"email": ADA} | values)
    assert [error.field for error in refused.value.errors] == [field]
    assert await world.mongo.database["users"].count_documents({}) == 0


async def test_asvs_6_3_1_registrations_are_limited_by_address(world: Any) -> None:
    world.use_limits(limit_register="2/hour")
    await world.register(ADA)
    await world.registration.resend(ADA, world.client())
    with pytest.raises(RateLimited):
        await world.register("other@example.org")
    await world.register("other@example.org", ip="203.0.113.9")


async def test_nobody_is_mailed_without_end_and_nobody_is_told(world: Any) -> None:
    world.use_limits(limit_mail="3/hour")
    for number in range(10):
        await world.register(ADA, ip=f"203.0.113.{number}")
        await world.registration.resend(ADA, world.client(f"203.0.113.{number}"))
    # Three links of registrations, and three that were asked for.
    assert len(await world.mails_to(ADA)) == 6


async def test_what_was_asked_for_before_there_was_an_account_keeps_no_link_back(world: Any) -> None:
    world.use_limits(limit_mail="2/hour")
    for number in range(5):
        await world.registration.resend(ADA, world.client(f"203.0.113.{number}"))
    await world.register(ADA)
    await world.registration.resend(ADA, world.client())
    assert len(await world.links_to(ADA)) == 2


async def test_asking_for_links_without_end_costs_the_same_work_for_every_address(world: Any) -> None:
    """Those that registered within the hour too: their mails are counted apart."""
    world.use_limits(limit_mail="3/hour")
    await world.verified_user("verified@example.org")
    for _ in range(5):
        await world.register("unverified@example.org")
    costs = set()
    for email in ("verified@example.org", "unverified@example.org", "new@example.org"):
        before = await count_documents(world.mongo.database)
        for number in range(5):
            await world.registration.resend(email, world.client(f"203.0.113.{number}"))
        after = await count_documents(world.mongo.database)
        costs.add(sum(after.values()) - sum(before.values()))
    assert costs == {6}


async def test_registrations_beyond_what_is_mailed_cost_the_same_work(world: Any) -> None:
    world.use_limits(limit_mail="1/hour")
    await world.verified_user("verified@example.org")
    await world.register("unverified@example.org")
    costs = set()
    for email in ("verified@example.org", "unverified@example.org"):
        before = await count_documents(world.mongo.database)
        await world.register(email)
        after = await count_documents(world.mongo.database)
        costs.add(tuple(after[name] - before[name] for name in ("mails", "one_time_tokens", "audit_events")))
    assert costs == {(0, 1, 1)}


async def test_no_password_and_no_token_is_in_the_audit_trail_or_readable_in_the_database(world: Any) -> None:
    user = await world.verified_user(ADA)
    [token] = await world.links_to(ADA)
    database = world.mongo.database
    for name in ("users", "one_time_tokens", "audit_events"):
        documents = await database[name].find({}).to_list(None)
        assert PASSWORD not in repr(documents)
        assert token not in repr(documents)
    assert {event.kind for event in await world.audited(user)} == {"registered", "email_verified"}


async def test_the_first_user_is_not_the_owner_of_the_second_ones_username(world: Any) -> None:
    ada = await world.verified_user(ADA, username="ada")
    bob = await world.verified_user("bob@example.org")
    with pytest.raises(UsernameTaken):
        await world.users.update_profile(bob.user_id, {"username": "ADA"})
    assert (await world.users.by_id(ada.user_id)).username == "ada"
    assert await world.tokens.of_user(bob.user_id, Purpose.NOTHING) == []
