"""A refresh token that comes again: honest clients are served, thieves are bounded, and users are told."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from support.session_world import LAPTOP, LEEWAY, PHONE, World, make_world

from auth.core.errors import AuthError, RefreshReused, SessionRevoked, Unavailable
from auth.core.models import Client, ClientKind, User
from auth.platform.suspension import RequestCaller, SuspensionWatch
from auth.sessions.rotation import MOST_REPLAYS
from auth.stores.mongo import Mongo

DUTCH, GERMAN = "145.97.0.1", "141.20.1.1"
A_MOMENT = LEEWAY + timedelta(milliseconds=1)
APP = Client("192.0.2.1", "ExampleChat/7.1")
UNNAMED = Client("192.0.2.1", "")


async def outcome(world: World, token: str, client: Client = LAPTOP, caller: RequestCaller | None = None) -> str:
    try:
        return str((await world.sessions.refresh(token, client=client, caller=caller)).outcome)
    except AuthError as refusal:
        return refusal.code


async def used(world: World, user: User, client: Client = LAPTOP) -> str:
    """A refresh token whose successor nobody has shown to have."""
    token = (await world.log_in(user, client)).tokens.refresh_token
    assert await outcome(world, token, client) == "rotated"
    world.facts.facts.clear()
    return token


async def confirmed(world: World, user: User) -> str:
    """A refresh token whose successor is in use."""
    token = (await world.log_in(user)).tokens.refresh_token
    await world.sessions.authenticate((await world.sessions.refresh(token, client=LAPTOP)).tokens.access_token)
    world.facts.facts.clear()
    return token


def told(world: World) -> list[str]:
    return [alert.kind for alert in world.facts.alerts]


# How often ------------------------------------------------------------------------------------------------


async def test_a_thief_who_never_shows_what_he_got_is_served_at_ten_moments(world: World, ada: User) -> None:
    """As a transparent refresh lets him: the pair goes into an answer whose cookies he drops."""
    stolen = await used(world, ada)
    for _ in range(MOST_REPLAYS):
        world.time.now += A_MOMENT
        answers = await asyncio.gather(*(outcome(world, stolen) for _ in range(6)))
        assert answers == ["replayed"] * 6, "six requests at once are one moment"
    world.time.now += LEEWAY
    assert await outcome(world, stolen) == "replayed"
    world.time.now += timedelta(milliseconds=1)
    assert await outcome(world, stolen) == "refresh_reused"
    assert told(world) == ["refresh_reused"]
    assert world.mails.sent == [ada.user_id]


async def test_a_moment_is_counted_once_whichever_nodes_see_it(world: World, ada: User, mongo: Mongo) -> None:
    started = await world.log_in(ada)
    await outcome(world, started.tokens.refresh_token)
    world.time.now += A_MOMENT
    session = await world.stored(started.session)
    counted = await asyncio.gather(*(world.store.count_replay(session, now=world.time.now) for _ in range(8)))
    assert sorted(counted) == [False] * 7 + [True]
    assert (await world.stored(session)).replays == 1


async def test_a_rotation_begins_to_count_anew(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token
    for _ in range(3):
        refreshed = await world.sessions.refresh(token, client=LAPTOP)
        for _ in range(MOST_REPLAYS):
            world.time.now += A_MOMENT
            assert await outcome(world, token) == "replayed"
        token = refreshed.tokens.refresh_token


async def test_the_races_of_tabs_count_for_nothing(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token
    answers = [await outcome(world, token) for _ in range(50)]
    assert answers == ["rotated"] + ["replayed"] * 49
    [session] = (await world.sessions.of_user(ada.user_id)).sessions
    assert session.replays == 0


@pytest.mark.parametrize("seed", range(3))
async def test_honest_clients_on_a_bad_network_are_neither_logged_out_nor_alarmed(
    world: World, ada: User, seed: int
) -> None:
    """Three tabs or six requests with one cookie jar, 30 % of answers lost, the addresses of a train, and a server
    that renders pages with the browser's cookie and drops what it is sent."""
    chance = random.Random(seed)
    jar = (await world.log_in(ada, replace(LAPTOP, ip=DUTCH))).tokens

    async def present(token: str, *, is_heard: bool) -> None:
        nonlocal jar
        client = replace(LAPTOP, ip=f"145.97.{chance.randrange(8)}.{chance.randrange(256)}")
        refreshed = await world.sessions.refresh(token, client=client)
        if is_heard:
            jar = refreshed.tokens
            if chance.random() < 0.9:
                await world.sessions.authenticate(jar.access_token)

    for _ in range(40):
        world.time.go(minutes=15)
        token = jar.refresh_token
        if chance.random() < 0.3:
            await present(token, is_heard=False)
            world.time.go(seconds=chance.choice([0.2, 5, 30]))
        for _ in range(20):
            heard = [chance.random() > 0.3 for _ in range(chance.choice([1, 3, 6]))]
            await asyncio.gather(*(present(token, is_heard=each) for each in heard))
            if any(heard):
                break
            world.time.go(seconds=chance.choice([1, 3, 10, 60]))
    [session] = (await world.sessions.of_user(ada.user_id)).sessions
    assert session.revoked_at is None
    assert (world.facts.alerts, world.facts.ended, world.mails.elsewhere) == ([], [], [])


# From elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "thief", "is_told"),
    [
        pytest.param(LAPTOP, PHONE, True, id="another browser"),
        pytest.param(LAPTOP, APP, True, id="an application"),
        pytest.param(replace(LAPTOP, ip=DUTCH), replace(LAPTOP, ip=GERMAN), True, id="over a border"),
        pytest.param(replace(LAPTOP, ip=DUTCH), replace(LAPTOP, ip="8.8.8.8"), True, id="over an ocean"),
        pytest.param(LAPTOP, replace(LAPTOP, ip="203.0.113.5"), False, id="another address, as on a train"),
        pytest.param(replace(LAPTOP, ip=DUTCH), LAPTOP, False, id="an address of no country"),
        pytest.param(LAPTOP, UNNAMED, False, id="no user agent"),
        pytest.param(UNNAMED, LAPTOP, False, id="none before"),
    ],
)
@pytest.mark.parametrize("make", [used, confirmed])
async def test_a_token_that_comes_again_from_elsewhere_is_told(
    world: World, ada: User, owner: Client, thief: Client, is_told: bool, make: object
) -> None:
    token = (await world.log_in(ada, owner)).tokens.refresh_token
    refreshed = await world.sessions.refresh(token, client=owner)
    if make is confirmed:
        await world.sessions.authenticate(refreshed.tokens.access_token)
    assert await outcome(world, token, thief) == ("concurrent" if make is confirmed else "replayed")
    assert told(world) == (["refresh_elsewhere"] if is_told else [])
    assert len(world.mails.elsewhere) == is_told
    kinds = [event.kind for event in await world.trail(ada)]
    assert kinds.count("refresh_elsewhere") == is_told


async def test_a_thief_who_rotates_first_on_another_device_is_told_too(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token
    world.facts.facts.clear()
    assert await outcome(world, token, PHONE) == "rotated"
    assert told(world) == ["refresh_elsewhere"]
    [mail] = world.mails.elsewhere
    assert (mail.other_device, mail.other_ip) == (ClientKind("Firefox", "Linux"), PHONE.ip)
    # The owner comes, gets the lost answer that was none, and has the pair: one alert of one pair of clients.
    assert await outcome(world, token) == "replayed"
    assert told(world) == ["refresh_elsewhere"]
    assert (await world.not_me.by_link(mail.token, client=LAPTOP)).count == 1
    assert len(world.facts.ended) == 1


async def test_a_thief_who_follows_each_rotation_is_told_once_a_day(world: World, ada: User) -> None:
    token = (await world.log_in(ada)).tokens.refresh_token
    begun = world.time.now
    for _ in range(3 * 12):
        refreshed = await world.sessions.refresh(token, client=LAPTOP)
        await world.sessions.authenticate(refreshed.tokens.access_token)
        world.time.go(seconds=5)
        assert await outcome(world, token, PHONE) == "concurrent"
        world.time.go(hours=2)
        token = refreshed.tokens.refresh_token
    days = [(alert.at - begun).days for alert in world.facts.alerts]
    assert days == [0, 1, 2]
    assert len(world.mails.elsewhere) == 3


async def test_of_two_nodes_one_tells(world: World, ada: User) -> None:
    token = await used(world, ada)
    answers = await asyncio.gather(*(outcome(world, token, PHONE) for _ in range(8)))
    assert answers == ["replayed"] * 8
    assert told(world) == ["refresh_elsewhere"]
    assert len(world.mails.elsewhere) == 1


async def test_whoever_invents_clients_sends_no_flood_of_mails(world: World, ada: User) -> None:
    token = await used(world, ada)
    for number in range(40):
        assert await outcome(world, token, Client(LAPTOP.ip, f"Thief{number}/1")) == "replayed"
    assert len(world.mails.elsewhere) == 16
    world.time.go(days=1)
    assert await outcome(world, token, Client(LAPTOP.ip, "Thief99/1")) == "replayed"
    assert len(world.mails.elsewhere) == 17


async def test_a_new_version_of_a_browser_is_the_same_client(world: World, ada: User) -> None:
    token = await used(world, ada)
    newer = replace(LAPTOP, user_agent=LAPTOP.user_agent.replace("126", "127"))
    assert await outcome(world, token, newer) == "replayed"
    assert told(world) == []


async def test_by_setting_it_ends_that_session_and_no_other(mongo: Mongo, ada: User) -> None:
    world = await make_world(mongo, elsewhere_ends=True)
    other = await world.log_in(ada)
    for make in (used, confirmed):
        token = await make(world, ada)
        assert await outcome(world, token) in {"replayed", "concurrent"}, "from where it was rotated it is served"
        assert await outcome(world, token, PHONE) == "refresh_reused"
        assert await outcome(world, token) == "session_revoked"
        assert [str(fact.reason) for fact in world.facts.ended] == ["refresh_reused"]
        assert told(world) == ["refresh_reused"]
    assert world.mails.sent == [ada.user_id] * 2
    assert (await world.stored(other.session)).revoked_at is None
    assert "refresh_elsewhere" in [event.kind for event in await world.trail(ada)]


async def test_nobody_gets_a_pair_that_the_user_could_not_be_told_of(
    world: World, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await used(world, ada)

    async def down(*_: object, **__: object) -> bool:
        raise Unavailable

    monkeypatch.setattr(world.store, "note_told", down)
    assert await outcome(world, token, PHONE) == "unavailable"
    assert await outcome(world, token) == "replayed"
    monkeypatch.undo()
    monkeypatch.setattr(world.store, "count_replay", down)
    world.time.now += A_MOMENT
    assert await outcome(world, token) == "unavailable"


# What waited ----------------------------------------------------------------------------------------------


class Waiting:
    """A caller whose time is the world's, and who hangs up when the test says so."""

    def __init__(self, world: World) -> None:
        self.suspension = SuspensionWatch(lambda: world.time.now.timestamp(), lambda: 0.0)
        self.hung_up = False
        self.caller = RequestCaller(self.suspension, self.suspension.arrival(), lambda: self.hung_up)

    def awake(self, world: World, seconds: int) -> None:
        """The request waits, and the node is awake meanwhile."""
        for _ in range(seconds):
            world.time.go(seconds=1)
            self.suspension.arrival()


async def test_a_frozen_node_serves_nothing_that_it_held(world: World, ada: User) -> None:
    """Its client repeated at another node, was answered, and uses the new pair."""
    token = (await world.log_in(ada)).tokens.refresh_token
    held = Waiting(world)
    world.time.go(seconds=3)
    refreshed = await world.sessions.refresh(token, client=LAPTOP)
    await world.sessions.authenticate(refreshed.tokens.access_token)
    world.time.go(seconds=11)
    assert await outcome(world, token, caller=held.caller) == "unavailable"
    assert await outcome(world, refreshed.tokens.refresh_token) == "rotated"


@pytest.mark.parametrize("rotations", [1, 2])
async def test_a_request_that_waited_is_no_theft_wherever_it_waited(
    world: World, ada: User, rotations: int
) -> None:
    token = presented = (await world.log_in(ada)).tokens.refresh_token
    held = Waiting(world)
    held.awake(world, 3)
    for _ in range(rotations):
        refreshed = await world.sessions.refresh(token, client=LAPTOP)
        await world.sessions.authenticate(refreshed.tokens.access_token)
        token = refreshed.tokens.refresh_token
    held.awake(world, 11)
    assert await outcome(world, presented, caller=held.caller) == "unavailable"
    assert "refresh_late" in [event.kind for event in await world.trail(ada)]
    assert await outcome(world, token) == "rotated"
    # Whoever sends it again now has no such excuse.
    assert await outcome(world, presented, caller=Waiting(world).caller) == "refresh_reused"


async def test_whoever_has_hung_up_is_neither_served_nor_judged(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    gone = Waiting(world)
    gone.hung_up = True
    assert await outcome(world, started.tokens.refresh_token, caller=gone.caller) == "unavailable"
    assert (await world.stored(started.session)).generation == 0


async def test_whoever_hangs_up_while_a_theft_is_looked_at_is_no_thief(world: World, ada: User) -> None:
    token = await confirmed(world, ada)
    world.time.now += A_MOMENT
    leaving = Waiting(world)
    judged = asyncio.create_task(outcome(world, token, caller=leaving.caller))
    while world.store.read == 0:
        await asyncio.sleep(0.01)
    leaving.hung_up = True
    assert await judged == "unavailable"
    assert world.facts.facts == []
    with pytest.raises(RefreshReused):
        await world.sessions.refresh(token, client=LAPTOP, caller=Waiting(world).caller)
    with pytest.raises(SessionRevoked):
        await world.sessions.refresh(token, client=LAPTOP, caller=Waiting(world).caller)
