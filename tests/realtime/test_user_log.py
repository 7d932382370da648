"""A user's log, the list of sockets and the leases of nodes, as a real Redis keeps and loses them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from support.redis_forms import ANSWER_SECONDS, client_of
from support.sockets import SEAL, connection
from support.waiting import eventually

from auth.core.clock import utc_now
from auth.core.shards import shard_of
from auth.platform.redis.link import RedisLink
from auth.platform.redis.subscription import Subscription, subscribe
from realtime.broker.chosen_states import ChosenStates
from realtime.broker.dead_node_cleanup import OrphanedSockets, RunHooks
from realtime.broker.deny_list import WHOLE, DenyList
from realtime.broker.leases import NodeLeases
from realtime.broker.presence import Presence
from realtime.broker.redis_keys import SLOT_OF, Keys
from realtime.broker.user_log import ALL, JoinResult, NewEvent, UserLog, device_status, member
from realtime.hub import Connection

MOST_SOCKETS = 4
LIFE = timedelta(hours=1)


@dataclass
class Place:
    """One node's view of a Redis, with what it was told."""

    link: RedisLink
    keys: Keys
    log: UserLog
    presence: Presence
    node_id: str
    orphans: OrphanedSockets
    resynced: list[str]

    async def renew(self) -> None:
        async def on_lost() -> None:
            self.resynced.append(self.node_id)

        await self.presence.renew(on_lost)

    async def join(self, socket: Connection, cursor: int | None = None) -> JoinResult:
        return await self.log.join(socket, cursor=cursor, online=status(socket), limits=())

    async def rejoin(self, socket: Connection) -> JoinResult:
        return await self.log.rejoin(socket, cursor=socket.cursor, online=status(socket))

    async def say(self, *names: str) -> None:
        events = [
            NewEvent("sessions-changed", "session", b'{"name":"%s"}' % name.encode(), versioned=True)
            for name in names
        ]
        await self.log.publish("user", events)

    async def listed(self) -> set[str]:
        return {key.decode() for key in await self.link.execute("HKEYS", self.keys.sockets("user"))}

    async def version(self) -> int:
        return (await self.presence.online("user"))[1]

    async def listen(self) -> Subscription:
        """Hear what is published to this node about the user."""
        shard = shard_of("user")
        master = self.link.master_of(SLOT_OF[shard])
        assert master is not None
        return await subscribe(master.address, [self.keys.channel(self.node_id, shard)], silence=30)

    async def announced(self) -> list[tuple[str, bool]]:
        """The devices, and whether they are online, in the order of their last changes."""
        frames = (await self.rejoin(replace_cursor(connection("reader"), 0))).missed
        return [
            (frame.session_id, frame.payload["online"])
            for frame in frames
            if frame.event == "device-status" and frame.session_id != "reading"
        ]


def names_of(joined: JoinResult) -> list[str]:
    return [frame.payload.get("name", frame.event) for frame in joined.missed]


def status(socket: Connection) -> Any:
    return device_status(socket.session_id, online=True, sockets=1, clock=utc_now)


def socket_of(session_id: str, socket_id: str | None = None) -> Connection:
    made = connection(socket_id or secrets.token_hex(6))
    made.principal = replace(made.principal, session_id=session_id)
    return made


def replace_cursor(socket: Connection, cursor: int) -> Connection:
    socket.cursor = cursor
    socket.principal = replace(socket.principal, session_id="reading")
    return socket


async def forget(client: Any, prefix: str) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        async for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            pipeline.delete(key)
        await pipeline.execute()


@dataclass
class World:
    """Nodes on one Redis, and what can become of that."""

    client: Any
    prefix: str
    make: Callable[..., Place]

    async def lose_all(self) -> None:
        """Redis loses what it held, and is told again by whom it may who is denied: by nobody."""
        await forget(self.client, self.prefix)
        await self.client.zadd(Keys(self.prefix).denied(shard_of("user")), {WHOLE: "+inf"})

    async def lease_of(self, node_id: str) -> Any:
        return await self.client.zscore(Keys(self.prefix).leases, node_id)

    async def let_lease_run_out(self, node_id: str) -> None:
        await self.client.zadd(Keys(self.prefix).leases, {node_id: 1})


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    client = await client_of(redis_url)
    prefix = f"test-{secrets.token_hex(6)}"
    places: list[Place] = []

    def make(node_id: str, run_hooks: RunHooks | None = None) -> Place:
        link = RedisLink(redis_url, prefix=prefix, answer_seconds=ANSWER_SECONDS)
        keys = Keys(prefix)
        deny_list = DenyList(link, keys, life=LIFE)
        deny_list._is_doubtful = lambda shard: False  # type: ignore[method-assign] # nobody has restored it
        leases = NodeLeases(link, keys, node_id=node_id)
        orphans = OrphanedSockets(link, keys, leases, clock=utc_now)
        log = UserLog(
            link,
            keys,
            deny_list,
            leases,
            node_id=node_id,
            seal=SEAL,
            log_life=LIFE,
            most_sockets=MOST_SOCKETS,
            check_soon=orphans.check_soon,
        )
        presence = Presence(
            link,
            keys,
            log,
            leases,
            orphans,
            ChosenStates(link, keys, SEAL, clock=utc_now),
            node_id=node_id,
            on_peers=lambda _: None,
            run_hooks=run_hooks,
            clock=utc_now,
        )
        places.append(Place(link, keys, log, presence, node_id, orphans, []))
        return places[-1]

    made = World(client, prefix, make)
    await made.lose_all()
    yield made
    for place in places:
        await place.presence.cleanup.close()
        await place.orphans.close()
        await place.link.close()
    await forget(client, prefix)
    await client.aclose()


@pytest.fixture
def here(world: World) -> Place:
    return world.make("here")


class TestTheSizeOfALog:
    """A client gets all that it has missed, or is told that it is not all."""

    async def test_it_has_at_most_half_a_megabyte_of_the_newest_events(self, here: Place) -> None:
        start = (await here.join(socket_of("session"))).last_event_id
        name = "x" * 16_000
        await here.say(*[name] * 31)
        assert names_of(await here.rejoin(replace_cursor(connection("reader"), start))).count(name) == 31
        await here.say(*[name] * 8)
        size = sum(map(len, await here.link.execute("LRANGE", here.keys.log("user"), 0, -1)))
        assert 500_000 < size <= 512 * 1024
        joined = await here.join(socket_of("session"), cursor=start)
        assert (joined.recovered, joined.missed) == (False, ())

    async def test_the_size_of_one_that_was_evicted_does_not_count(self, here: Place) -> None:
        start = (await here.join(socket_of("session"))).last_event_id
        await here.say(*["x" * 16_000] * 31)
        await here.link.execute("DEL", here.keys.log("user"))
        await here.say(*["y" * 16_000] * 31)
        assert await here.link.execute("LLEN", here.keys.log("user")) == 31
        assert not (await here.join(socket_of("session"), cursor=start)).recovered


async def test_what_is_appended_once_is_not_appended_or_published_again(here: Place) -> None:
    await here.join(socket_of("session"))
    event = NewEvent("chat:news", "", b'{"data":{}}')
    first = await here.log.publish("user", [event], counted=ALL, once="a")
    again = await here.log.publish("user", [event], counted=ALL, once="a")
    other = await here.log.publish("user", [event], counted=ALL, once="b")
    assert (again.event_id, again.nodes) == (first.event_id, {})
    assert other.event_id > first.event_id
    assert await here.link.execute("LLEN", here.keys.log("user")) == 2
    assert 0 < await here.link.execute("PTTL", here.keys.once("user", "a")) <= 600_000


class TestALogThatWasLost:
    """What a client had read of it is within the reach of no later one."""

    @pytest.mark.parametrize("then", ["nothing", "an event", "a device", "its node puts a socket back"])
    async def test_a_cursor_of_before_is_not_recovered_whatever_came_first_afterwards(
        self, world: World, here: Place, then: str
    ) -> None:
        staying = socket_of("staying")
        staying.cursor = (await here.join(staying)).last_event_id
        await here.say("one", "two", "three")
        cursor = (await here.join(socket_of("away"))).last_event_id
        version = await here.version()
        await here.say("lost")
        await world.lose_all()
        if then == "an event":
            await here.say("new")
        elif then == "a device":
            await here.join(socket_of("other"))
        elif then == "its node puts a socket back":
            assert (await here.rejoin(staying)).recovered is False
        # What it had read lately, long ago, and what it never can have read.
        for before in (cursor, cursor + 1, cursor + 2, staying.cursor, 1, 0):
            back = await here.join(socket_of("away", "back"), before)
            assert (back.recovered, back.missed) == (False, ()), before
            assert back.last_event_id > cursor
        await here.say("next")
        assert await here.version() > version + 1  # a gap
        again = await here.join(socket_of("away", "back"), back.last_event_id)
        assert (again.recovered, names_of(again)) == (True, ["next"])

    async def test_lost_twice_at_once_it_still_begins_above_all_that_was_given_out(
        self, world: World, here: Place
    ) -> None:
        newest = 0
        for _ in range(5):
            joined = await here.join(socket_of("session"), newest)
            assert (joined.recovered, joined.last_event_id > newest) == (False, True)
            await here.say(*["event"] * 20)
            newest = (await here.join(socket_of("session", "late"))).last_event_id
            await world.lose_all()

    @pytest.mark.parametrize("part", ["log", "meta"])
    async def test_half_of_it_lost_is_lost_too(self, world: World, here: Place, part: str) -> None:
        cursor = (await here.join(socket_of("session", "one"))).last_event_id
        await here.say("lost")
        await world.client.delete(here.keys.log("user") if part == "log" else here.keys.meta("user"))
        await here.say("kept")
        back = await here.join(socket_of("session", "two"), cursor)
        assert (back.recovered, back.missed) == (False, ())

    async def test_a_socket_that_stayed_is_given_what_is_left_and_told_that_it_is_not_all(
        self, world: World, here: Place
    ) -> None:
        staying = socket_of("staying")
        staying.cursor = (await here.join(staying)).last_event_id
        await here.say("lost")
        await world.lose_all()
        await here.say("kept")
        back = await here.rejoin(staying)
        assert not back.recovered
        assert names_of(back) == ["kept", "device-status"]
        assert back.missed[0].event_id > staying.cursor

    async def test_a_clock_that_was_set_back_does_not_hide_events_from_a_socket_that_stayed(
        self, world: World, here: Place
    ) -> None:
        staying = socket_of("staying")
        staying.cursor = (await here.join(staying)).last_event_id + 10**12
        await world.lose_all()
        await here.join(socket_of("other"))
        staying.cursor = max(staying.cursor, (await here.rejoin(staying)).last_event_id)
        await here.say("new")
        back = await here.rejoin(staying)
        assert (names_of(back), back.last_event_id > staying.cursor) == (["new"], True)

    async def test_no_client_can_push_a_log_ahead_of_the_clock(self, here: Place) -> None:
        joined = await here.join(socket_of("session"), 2**53 - 1)
        assert not joined.recovered
        assert joined.last_event_id < (utc_now().timestamp() + 60) * 1_000_000


class TestWhatIsKept:
    """Account events of a day, and of each device where it is now."""

    async def test_of_a_device_that_came_and_went_often_only_the_last_state_is_read_in_order_with_the_events(
        self, here: Place
    ) -> None:
        cursor = (await here.join(socket_of("reading"))).last_event_id
        for _ in range(5):
            socket = socket_of("restless")
            await here.join(socket)
            await here.presence.cleanup.leave("here", member(socket), forget=True)
        await here.say("event")
        await here.join(socket_of("other"))
        back = await here.join(socket_of("reading", "again"), cursor)
        assert back.recovered
        read = [(frame.event, frame.session_id, frame.payload.get("online")) for frame in back.missed]
        assert read == [
            ("device-status", "restless", False),
            ("sessions-changed", "session", None),
            ("device-status", "other", True),
        ]
        assert await here.link.execute("LLEN", here.keys.log("user")) == 1

    async def test_states_are_kept_of_so_many_sessions_and_the_oldest_is_forgotten(self, here: Place) -> None:
        for number in range(40):
            socket = socket_of(f"session {number}")
            await here.join(socket)
            await here.presence.cleanup.leave("here", member(socket), forget=True)
        kept = {key.decode() for key in await here.link.execute("HKEYS", here.keys.states("user"))}
        assert kept == {f"session {number}" for number in range(8, 40)}

    async def test_an_event_older_than_a_day_leaves_with_the_next_and_who_had_not_read_it_is_told(
        self, here: Place
    ) -> None:
        cursor = (await here.join(socket_of("reading"))).last_event_id
        await here.say("old", "new")
        log = here.keys.log("user")
        frame = orjson.loads(await here.link.execute("LINDEX", log, 0))
        unread = await here.join(socket_of("reading", "again"), cursor)
        assert (unread.recovered, names_of(unread)) == (True, ["old", "new"])
        day = 86_400 * 1_000_000
        await here.link.execute("LSET", log, 0, orjson.dumps(frame | {"i": frame["i"] - day}))
        await here.say("next")
        assert await here.link.execute("LLEN", log) == 2
        unread = await here.join(socket_of("reading", "again"), cursor)
        assert (unread.recovered, unread.missed) == (False, ())


class TestLeases:
    """An entry lives no longer than its node's lease, and a node without one is found."""

    async def test_a_node_that_has_come_since_is_asked_for_and_not_taken_for_dead(self, world: World) -> None:
        here, newcomer = world.make("here"), world.make("newcomer")
        await here.renew()
        await newcomer.renew()
        await newcomer.join(socket_of("session"))
        assert (await here.presence.online("user"))[0] == {"session"}
        assert here.orphans._tasks == {}

    async def test_a_node_that_could_not_renew_its_lease_lets_the_others_renew_theirs_before_it_claims_them(
        self, world: World
    ) -> None:
        here, there = world.make("here"), world.make("there")
        await here.renew()
        await there.join(socket_of("session", "socket"))
        # An outage longer than a lease.
        await world.let_lease_run_out("here")
        await world.let_lease_run_out("there")
        await here.renew()
        await there.renew()
        await here.renew()
        assert (await here.presence.online("user"))[0] == {"session"}
        assert await here.listed() == {"socket"}

    async def test_a_node_of_a_command_leaves_no_lease_for_others_to_wait_for(self, world: World) -> None:
        await world.make("command").presence.close()
        assert await world.lease_of("command") is None

    async def test_a_lease_that_was_lost_is_a_sign_of_a_loss(self, world: World, here: Place) -> None:
        await here.renew()
        await eventually(lambda: asyncio.sleep(0, bool(here.resynced)), "it puts its sockets back", timeout=30)
        await world.lose_all()
        await here.join(socket_of("session"))
        await here.renew()
        await eventually(lambda: asyncio.sleep(0, len(here.resynced) == 2), "and again", timeout=30)
        await here.renew()
        await asyncio.sleep(0)
        assert here.resynced == ["here", "here"]

    async def test_the_sockets_of_a_dead_node_go_offline_and_its_application_is_told_once_it_succeeds(
        self, world: World
    ) -> None:
        attempts: list[tuple[str, str, str]] = []

        async def tell(user_id: str, session_id: str, socket_id: str) -> bool:
            attempts.append((user_id, session_id, socket_id))
            return len(attempts) > 3

        dead, here = world.make("dead"), world.make("here", tell)
        lost, kept = socket_of("lost", "first"), socket_of("lost", "second")
        both = socket_of("both")
        for socket in (lost, kept, both):
            await dead.join(socket)
        await here.join(socket_of("both"))
        heard = await here.listen()
        await world.let_lease_run_out("dead")
        await here.renew()

        async def cleared() -> bool:
            await here.renew()
            return await world.lease_of("dead") is None

        await eventually(cleared, "the node is forgotten", timeout=30)
        each = [("user", socket.session_id, socket.socket_id) for socket in (lost, kept, both)]
        assert sorted(attempts) == sorted([*each, *each])
        assert (await here.presence.online("user"))[0] == {"both"}
        # Said once, although the device had two sockets and its hooks were run twice.
        await here.say("end")
        said = []
        while (frame := SEAL.read(await heard.get(30) or b"") or {})["e"] == "device-status":
            said.append((frame["s"], frame["d"]["online"]))
        assert said == [("lost", False)]
        heard.close()
        assert [status for status in await here.announced() if status[0] == "lost"] == [("lost", False)]
        assert ("both", False) not in await here.announced()

    async def test_an_application_that_always_fails_is_given_up(self, world: World) -> None:
        attempts = 0

        async def tell(*_: str) -> bool:
            nonlocal attempts
            attempts += 1
            return False

        dead, here = world.make("dead"), world.make("here", tell)
        await dead.join(socket_of("lost"))
        await world.let_lease_run_out("dead")

        async def forgotten() -> bool:
            await here.renew()
            return await world.lease_of("dead") is None

        await eventually(forgotten, "the node is forgotten", timeout=30)
        assert attempts == 5

    async def test_a_node_that_wakes_while_it_is_cleared_up_after_keeps_its_sockets(
        self, world: World, here: Place
    ) -> None:
        frozen = world.make("frozen")
        socket = socket_of("session", "socket")
        await frozen.join(socket)
        await world.let_lease_run_out("frozen")
        await frozen.renew()
        # The other had read its list before.
        await here.presence.cleanup.discard("frozen", [member(socket)], is_dead=True, is_last_try=True)
        assert await here.listed() == {"socket"}

    async def test_after_a_planned_stop_only_what_was_not_said_in_time_is_said_by_another(
        self, world: World, here: Place
    ) -> None:
        stopping = world.make("stopping")
        said, unsaid = socket_of("said", "one"), socket_of("unsaid", "two")
        for socket in (said, unsaid):
            await stopping.join(socket)
        goodbye, hanging = (asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0, 60))
        await goodbye
        stopping.presence.leave_soon(said, goodbye)
        stopping.presence.leave_soon(unsaid, hanging)
        await stopping.presence.close()
        hanging.cancel()
        told: list[str] = []

        async def tell(_user_id: str, _session_id: str, socket_id: str) -> bool:
            told.append(socket_id)
            return True

        here = world.make("here", tell)
        await world.let_lease_run_out("stopping")

        async def forgotten() -> bool:
            await here.renew()
            return await world.lease_of("stopping") is None

        await eventually(forgotten, "the node is forgotten", timeout=30)
        assert told == ["two"]
        assert await here.listed() == set()

    @pytest.mark.parametrize(
        "found_by", ["a handshake", "a list", "a message to the user", "the check after a loss"]
    )
    async def test_an_entry_whose_node_holds_no_lease_is_cleared_up(
        self, world: World, here: Place, found_by: str
    ) -> None:
        ghost = world.make("ghost")
        await ghost.join(socket_of("gone", "ghostly"))
        await world.client.zrem(here.keys.leases, "ghost")
        await world.client.delete(here.keys.node_sockets("ghost", shard_of("user")))
        if found_by == "a handshake":
            await here.join(socket_of("session"))
        elif found_by == "a message to the user":
            assert await here.presence.nodes_of("user", session_id=None) == {}
        elif found_by == "the check after a loss":
            here.presence.check_later(lambda: ["user"])
        else:
            assert (await here.presence.online("user"))[0] == set()
        await eventually(lambda: world.lease_of("ghost"), "it gets a lease to run out", timeout=30)
        await world.let_lease_run_out("ghost")

        async def gone() -> bool:
            await here.renew()
            return "ghostly" not in await here.listed()

        await eventually(gone, "it is cleared up", timeout=30)
        assert (await here.announced())[-1:] == [("gone", False)]
        # And when the device comes again, that is announced.
        await here.join(socket_of("gone"))
        assert (await here.announced())[-1:] == [("gone", True)]


class TestSocketsOfOneUser:
    """They are counted over all nodes; one too many is refused, and closes no other."""

    async def test_one_too_many_is_refused_on_every_node_and_leaves_no_trace(
        self, world: World, here: Place
    ) -> None:
        there = world.make("there")
        for place in (here, there, here, there):
            assert (await place.join(socket_of("session"))).status == "ok"
        before = await here.listed()
        for place in (here, there):
            assert (await place.join(socket_of("other"))).status == "full"
        assert await here.listed() == before
        assert (await here.presence.online("user"))[0] == {"session"}

    async def test_a_socket_that_is_put_back_is_never_one_too_many(self, here: Place) -> None:
        sockets = [socket_of("session") for _ in range(MOST_SOCKETS)]
        for socket in sockets:
            await here.join(socket)
        assert (await here.rejoin(socket_of("session", "put back"))).status == "ok"

    async def test_those_of_a_dead_node_do_not_count(self, world: World, here: Place) -> None:
        dead = world.make("dead")
        await dead.renew()
        for _ in range(MOST_SOCKETS):
            await dead.join(socket_of("session"))
        assert (await here.join(socket_of("session"))).status == "full"
        await world.let_lease_run_out("dead")
        assert (await here.join(socket_of("session"))).status == "ok"
