"""Alerts of logins, "this wasn't me", and what is flagged for those who watch."""

import asyncio
from dataclasses import replace

import pytest
from support.session_world import LAPTOP, PHONE, Time, World, make_user, principal_of

from auth.core.errors import InvalidToken, NotFound
from auth.core.models import Actor, Client, RevocationReason, Session, User
from auth.sessions.risk import RAPID_REFRESHES

DUTCH = "145.97.0.1"
PERUVIAN = "200.48.225.130"


def risks(world: World, kind: str) -> float:
    return world.metrics.risks.labels(kind)._value.get()


async def disowned(world: World, user: User) -> list[str]:
    return [event.details["way"] for event in await world.trail(user) if event.kind == "login_disowned"]


async def alarming(world: World, user: User) -> tuple[Session, str]:
    """A login on a second device, and the token of its mail."""
    await world.log_in(user)
    phone = await world.log_in(user, PHONE)
    mail = world.mails.logins[-1]
    assert (mail.at, mail.device, mail.news) == (phone.session.logged_in_at, phone.session.device, ("new_device",))
    return phone.session, mail.token


async def test_asvs_6_3_5_a_login_from_an_unknown_device_is_told_live_and_by_mail(world: World, ada: User) -> None:
    """ASVS 5.0, 6.3.5: users are notified of logins from an unusual client."""
    session, _ = await alarming(world, ada)
    assert [(alert.kind, alert.session) for alert in world.facts.alerts] == [("new_device", session)]
    assert len(world.mails.logins) == 1
    assert risks(world, "new_device") == 1


async def test_asvs_6_3_5_so_is_one_from_an_unknown_country(world: World, ada: User) -> None:
    """ASVS 5.0, 6.3.5: or from an unusual location."""
    await world.log_in(ada, replace(LAPTOP, ip=DUTCH))
    world.time.go(days=2)
    await world.log_in(ada, replace(LAPTOP, ip=PERUVIAN))
    assert [alert.kind for alert in world.facts.alerts] == ["new_country"]
    assert [mail.news for mail in world.mails.logins] == [("new_country",)]
    assert risks(world, "impossible_travel") == 0


async def test_the_mailed_link_ends_that_session_and_no_other(world: World, ada: User) -> None:
    session, token = await alarming(world, ada)
    revoked = await world.not_me.by_link(token, client=Client("203.0.113.9"))
    assert revoked.count == 1
    [ended] = world.facts.ended
    assert (ended.session.session_id, ended.reason) == (session.session_id, RevocationReason.REVOKED)
    assert ended.by == Actor("user")
    assert await disowned(world, ada) == ["mail"]


async def test_the_login_of_a_link_is_named_before_and_after_it_ended(world: World, ada: User) -> None:
    session, token = await alarming(world, ada)
    before = await world.not_me.login_of(token)
    assert (before.session.session_id, before.live) == (session.session_id, True)
    assert world.facts.ended == []
    await world.not_me.by_link(token, client=LAPTOP)
    after = await world.not_me.login_of(token)
    assert (after.session.session_id, after.live) == (session.session_id, False)
    world.time.go(days=7)
    for stale in (token, "guess", "A" * 43, "\ud800"):
        with pytest.raises(InvalidToken):
            await world.not_me.login_of(stale)


async def test_the_link_ends_once_whatever_follows_it_at_once_and_succeeds_again(world: World, ada: User) -> None:
    _, token = await alarming(world, ada)
    revoked = await asyncio.gather(*(world.not_me.by_link(token, client=LAPTOP) for _ in range(6)))
    assert sorted(each.count for each in revoked) == [0, 0, 0, 0, 0, 1]
    assert (await world.not_me.by_link(token, client=LAPTOP)).count == 0
    assert await disowned(world, ada) == ["mail"]


async def test_the_link_is_good_for_a_week(world: World, ada: User) -> None:
    _, token = await alarming(world, ada)
    world.time.go(days=7)
    with pytest.raises(InvalidToken):
        await world.not_me.by_link(token, client=LAPTOP)


@pytest.mark.parametrize("token", ["", "guess", "A" * 43, "x" * 50_000, "\ud800"])
async def test_what_is_no_link_of_ours_ends_nothing(world: World, ada: User, token: str) -> None:
    await alarming(world, ada)
    with pytest.raises(InvalidToken):
        await world.not_me.by_link(token, client=LAPTOP)
    assert world.facts.ended == []


async def test_another_device_disowns_a_login_as_it_would_end_it(world: World, ada: User) -> None:
    laptop = await world.log_in(ada)
    phone = await world.log_in(ada, PHONE)
    delivery = await world.not_me.by_device(principal_of(laptop.session), phone.session.session_id, client=LAPTOP)
    assert delivery.closed == 1
    assert await disowned(world, ada) == ["device"]
    with pytest.raises(NotFound):
        await world.not_me.by_device(principal_of(laptop.session), phone.session.session_id, client=LAPTOP)
    stranger = await world.log_in(make_user(world.time.now))
    with pytest.raises(NotFound):
        await world.not_me.by_device(principal_of(laptop.session), stranger.session.session_id, client=LAPTOP)
    assert await disowned(world, ada) == ["device"]


async def test_two_countries_within_the_hour_are_flagged_at_a_login(world: World, ada: User) -> None:
    await world.log_in(ada, replace(LAPTOP, ip=DUTCH))
    world.time.go(minutes=20)
    abroad = await world.log_in(ada, replace(LAPTOP, ip=PERUVIAN))
    [event] = [event for event in await world.trail(ada) if event.kind == "impossible_travel"]
    assert event.session_id == abroad.session.session_id
    assert event.details == {"from": "NL", "to": "PE", "minutes": "20"}
    assert risks(world, "impossible_travel") == 1


async def test_and_when_a_session_moves(world: World, ada: User) -> None:
    started = await world.log_in(ada, replace(LAPTOP, ip=DUTCH))
    world.time.go(minutes=20)
    await world.sessions.refresh(started.tokens.refresh_token, client=replace(LAPTOP, ip=PERUVIAN))
    assert {event.kind for event in await world.trail(ada)} == {"impossible_travel", "refresh_elsewhere"}
    assert [alert.kind for alert in world.facts.alerts] == ["refresh_elsewhere"]
    assert len(world.mails.elsewhere) == 1


async def test_a_session_that_is_refreshed_by_a_program_is_flagged_once_a_minute(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token

    async def refresh(times: int, time: Time) -> None:
        nonlocal token
        for _ in range(times):
            time.go(seconds=1)
            token = (await world.sessions.refresh(token, client=LAPTOP)).tokens.refresh_token

    await refresh(RAPID_REFRESHES, world.time)
    assert await world.trail(ada) == []
    await refresh(10, world.time)
    assert [event.kind for event in await world.trail(ada)] == ["rapid_refresh"]
    assert risks(world, "rapid_refresh") == 1


async def test_an_ordinary_client_is_never_flagged(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token
    for _ in range(40):
        world.time.go(minutes=15)
        token = (await world.sessions.refresh(token, client=LAPTOP)).tokens.refresh_token
    assert await world.trail(ada) == []
