"""A node crashes between any two writes of an act; the act is repeated or abandoned; others complete it."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from support.crashes import make_crashable, run_until_crash
from support.nodes import Installation, ServiceUrls, drop
from support.session_world import LAPTOP, make_user
from support.sockets import connection

from auth.core.clock import utc_now
from auth.core.errors import SessionRevoked
from auth.core.models import SYSTEM, Principal, RevocationReason, TokenDelivery
from auth.core.shards import shard_of
from auth.platform.settings.settings import Settings
from realtime.broker.redis_keys import Keys
from realtime.broker.user_log import device_status, member
from realtime.hub import Connection
from runtime.node import Node
from runtime.provision import root

GRANTED = ("a", "b", "c", "d", "e")
# Longer than any claim, and than a fact has to settle.
LATER = timedelta(seconds=60)
MOST_SESSIONS = 3
CRASHES = st.one_of(st.none(), st.integers(1, 8))


@dataclass
class Held:
    """What a client knows of its session. `is_told`: its end is known to every node."""

    session_id: str
    access_token: str
    refresh_token: str
    generation: int = 0
    is_ended: bool = False
    is_told: bool = False
    sockets: list[Connection] = field(default_factory=list)


class Nodes:
    """Two nodes on real stores; the first one crashes. They share a clock that can be put forward."""

    def __init__(self, services: ServiceUrls, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.run = run
        self.installation = Installation(services)
        environ = self.installation.environ(
            VIGIL_ROLES=",".join(("admin", *GRANTED)),
            VIGIL_MONGO_URL=services.patient_mongo,
            # Longer than the clocks are put forward in one example.
            VIGIL_ACCESS_TOKEN_SECONDS="86400",
        )
        self._settings = Settings.load(environ)
        self._services = services
        self.doomed, self.well = run(self._start()), run(self._start())

    async def _start(self) -> Node:
        node = Node(
            self._settings,
            mongo_url=self._services.patient_mongo,
            redis_url=self._services.redis,
            root=root(self._settings),
            application=None,
        )
        await node.stores.prepare()
        await node.keys.start()
        await node.outbound.deny_list.restore(node.stores.sessions, node.stores.room_members, now=utc_now())
        await self.renew(node)
        return node

    async def renew(self, node: Node) -> None:
        async def on_lost() -> None:
            await asyncio.sleep(0)

        await node.outbound.presence.renew(on_lost)

    def go_on(self, by: timedelta) -> None:
        """Put the clocks of the nodes forward."""
        for node in (self.doomed, self.well):
            node.clock._offset += by.total_seconds()

    async def close(self) -> None:
        for node in (self.doomed, self.well):
            await node.close()


def has_session(machine: Any) -> bool:
    return bool(machine.held)


def has_room(machine: Any) -> bool:
    return len(machine.held) < MOST_SESSIONS


def has_role_left(machine: Any) -> bool:
    return bool(machine.roles_left)


def has_socket(machine: Any) -> bool:
    return any(held.sockets for held in machine.held)


class CrashingNode(RuleBasedStateMachine):
    """One user whose sessions are refreshed, ended, given roles and connected by a node that crashes."""

    nodes: ClassVar[Nodes]

    def __init__(self) -> None:
        super().__init__()
        self.user = make_user(utc_now())
        self.held: list[Held] = []
        self.roles_left = list(GRANTED)
        # The refresh tokens that were issued for each generation of a session.
        self.issued: dict[tuple[str, int], set[str]] = defaultdict(set)

    @initialize()
    def register(self) -> None:
        self.run(self.nodes.well.stores.users.create(self.user))
        self.log_in(None)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.nodes.run(work)

    def act(self, act: Callable[[], Coroutine[Any, Any, Any]], calls: int | None, *, repeat: bool = True) -> Any:
        """Run an act that may crash, and repeat it if it did; None if it was abandoned."""
        has_crashed, answer = self.run(run_until_crash(act, calls))
        return self.run(act()) if has_crashed and repeat else answer

    def pick(self, data: Any) -> Held:
        held: Held = data.draw(st.sampled_from(self.held), label="session")
        return held

    @precondition(has_room)
    @rule(calls=CRASHES)
    def logs_in(self, calls: int | None) -> None:
        self.log_in(calls)

    def log_in(self, calls: int | None) -> None:
        sessions = self.nodes.doomed.operations.sessions

        async def start() -> Any:
            user = await self.nodes.doomed.stores.users.by_id(self.user.user_id)
            assert user is not None
            return await sessions.start(
                user, amr=["pwd"], device_name=None, delivery=TokenDelivery.BODY, client=LAPTOP
            )

        started = self.act(start, calls, repeat=False)
        if started is not None:
            tokens = started.tokens
            self.held.append(Held(started.session.session_id, tokens.access_token, tokens.refresh_token))

    @precondition(has_session)
    @rule(data=st.data(), calls=CRASHES, repeat=st.booleans(), used=st.booleans())
    def refresh(self, data: Any, calls: int | None, repeat: bool, used: bool) -> None:
        held = self.pick(data)
        sessions = self.nodes.doomed.operations.sessions
        try:
            refreshed = self.act(lambda: sessions.refresh(held.refresh_token, client=LAPTOP), calls, repeat=repeat)
        except SessionRevoked:
            assert held.is_ended, "a false logout"
            return
        if refreshed is None:
            return
        assert not held.is_ended, "a revoked session came back"
        generation = self.run(sessions.verify(refreshed.tokens.access_token)).generation
        assert generation == held.generation + 1
        tokens = self.issued[held.session_id, generation]
        tokens.add(refreshed.tokens.refresh_token)
        assert len(tokens) == 1, "two successors"
        held.access_token, held.refresh_token = refreshed.tokens.access_token, refreshed.tokens.refresh_token
        held.generation = generation
        if used:
            self.run(sessions.authenticate(held.access_token))

    @precondition(has_session)
    @rule(data=st.data(), on_other=st.booleans())
    def use(self, data: Any, on_other: bool) -> None:
        held = self.pick(data)
        node = self.nodes.well if on_other else self.nodes.doomed
        try:
            self.run(node.operations.sessions.authenticate(held.access_token))
        except SessionRevoked:
            assert held.is_ended, "a false logout"
        else:
            assert not held.is_told, "a revoked session came back"

    @precondition(has_session)
    @rule(data=st.data(), calls=CRASHES, repeat=st.booleans())
    def revoke(self, data: Any, calls: int | None, repeat: bool) -> None:
        held = self.pick(data)

        async def end() -> bool:
            await self.nodes.doomed.operations.sessions.end(
                held.session_id,
                self.user.user_id,
                reason=RevocationReason.REVOKED,
                by=SYSTEM,
                client=LAPTOP,
            )
            return True

        has_crashed, _ = self.run(run_until_crash(end, calls))
        if has_crashed and repeat:
            self.run(end())
        stored = self.run(self.nodes.well.stores.sessions.get(held.session_id))
        held.is_ended = stored.revoked_at is not None
        assert held.is_ended or (has_crashed and not repeat)
        # After a crash the first call has ended it, and the second one finds nothing to announce.
        held.is_told = held.is_told or (held.is_ended and not has_crashed)

    @precondition(has_role_left)
    @rule(calls=CRASHES, repeat=st.booleans())
    def grant(self, calls: int | None, repeat: bool) -> None:
        role = self.roles_left.pop()
        self.act(lambda: self.nodes.doomed.operations.roles.grant(self.user.email, role), calls, repeat=repeat)

    @precondition(has_session)
    @rule(data=st.data(), calls=CRASHES, on_other=st.booleans())
    def connect(self, data: Any, calls: int | None, on_other: bool) -> None:
        held = self.pick(data)
        node = self.nodes.well if on_other else self.nodes.doomed
        socket = self.socket(held.session_id)
        online = device_status(held.session_id, online=True, sockets=1, clock=node.clock)
        joined = self.act(
            lambda: node.outbound.log.join(socket, cursor=None, online=online, limits=()), calls, repeat=False
        )
        if joined is not None:
            expected = (
                {"ok", "revoked"} if held.is_ended != held.is_told else {"revoked" if held.is_ended else "ok"}
            )
            assert joined.status in expected
            if joined.status == "ok" and not on_other:
                held.sockets.append(socket)
        if on_other:
            # It leaves again: only the first node dies.
            self.run(self.leave(node, socket))

    def socket(self, session_id: str) -> Connection:
        made = connection(secrets.token_hex(6))
        principal: Principal = replace(made.principal, user_id=self.user.user_id, session_id=session_id)
        made.principal = principal
        return made

    async def leave(self, node: Node, socket: Connection) -> None:
        cleanup = node.outbound.presence.cleanup
        await cleanup.leave(node.outbound.node_id, member(socket), forget=True)

    @precondition(has_socket)
    @rule(calls=CRASHES)
    def disconnect(self, calls: int | None) -> None:
        socket = next(held.sockets.pop() for held in self.held if held.sockets)
        self.act(lambda: self.leave(self.nodes.doomed, socket), calls, repeat=False)

    @rule(calls=CRASHES)
    def complete(self, calls: int | None) -> None:
        """Another node completes what was abandoned; it may crash, too, and then goes on."""
        node = self.nodes.well
        for work in (node.operations.roles.finish_due, node.outbound._relay._publish_backlog):
            self.nodes.go_on(LATER)
            self.run(run_until_crash(work, calls))
            self.nodes.go_on(LATER)
            self.run(work())
        for held in self.held:
            held.is_told = held.is_ended
        self.run(self.check())

    @rule(calls=CRASHES)
    def die(self, calls: int | None) -> None:
        """The lease of the node runs out; the one that cleans up after it may crash, too, and then goes on."""
        doomed = self.nodes.doomed
        for held in self.held:
            online = device_status(held.session_id, online=True, sockets=1, clock=doomed.clock)
            socket = self.socket(held.session_id)
            self.run(doomed.outbound.log.join(socket, cursor=None, online=online, limits=()))
        self.run(self.clear(calls))
        for held in self.held:
            held.sockets.clear()

    async def clear(self, calls: int | None) -> None:
        doomed, well = self.nodes.doomed.outbound, self.nodes.well.outbound
        keys = Keys(self.nodes.installation.name)
        for node in (doomed, well):
            # They may be giving a lease to a node that has none.
            await asyncio.gather(*node.presence._orphans._tasks.values(), return_exceptions=True)
        await well._link.execute("ZADD", keys.leases, 1, doomed.node_id)
        cleanup, shards = well.presence.cleanup, [shard_of(self.user.user_id)]

        async def clear_up() -> None:
            entries = await cleanup.entries(doomed.node_id, shards)
            await cleanup.discard(doomed.node_id, entries, is_dead=True, is_last_try=True)

        await run_until_crash(clear_up, calls)
        await clear_up()
        listed = await well._link.execute("HVALS", keys.sockets(self.user.user_id))
        assert not [each for each in listed if each.startswith(doomed.node_id.encode())], "present for ever"
        assert not await cleanup.entries(doomed.node_id, shards)
        await self.nodes.renew(self.nodes.doomed)

    async def check(self) -> None:
        """What holds once everything is completed."""
        node = self.nodes.well
        stored = node.stores.sessions
        user = await node.stores.users.by_id(self.user.user_id)
        assert user is not None
        frames = await self.frames()
        told_roles = [frame.payload["version"] for frame in frames if frame.event == "roles-changed"]
        assert max(told_roles, default=0) == user.roles_version, "a role change was not told"
        ended = {frame.session_id for frame in frames if frame.event == "session-revoked"}
        assert not await stored._sessions.count_documents(
            {"userId": user.user_id, "unpublished.0": {"$exists": True}}
        )
        for session in await stored.live_of_user(user.user_id, now=node.clock()):
            assert session.roles_version == user.roles_version
            assert session.session_id not in ended, "a revoked session came back"
        for held in self.held:
            assert (held.session_id in ended) == held.is_ended, "an end was not told"
            denied = await node.outbound.deny_list.is_revoked(user.user_id, held.session_id)
            assert denied == held.is_ended

    async def frames(self) -> Any:
        """The user's log."""
        node, reader = self.nodes.well, self.socket("reading")
        online = device_status("reading", online=True, sockets=1, clock=node.clock)
        joined = await node.outbound.log.rejoin(reader, cursor=0, online=online)
        await self.leave(node, reader)
        return joined.missed

    def teardown(self) -> None:
        self.complete(None)
        self.die(None)


@pytest.fixture
def nodes(services: ServiceUrls, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    make_crashable(monkeypatch)
    with asyncio.Runner() as runner:
        made = Nodes(services, runner.run)
        yield made
        runner.run(made.close())
        drop(services, made.installation.name)


def test_whenever_a_node_crashes_no_invariant_is_broken(nodes: Nodes) -> None:
    class OnTheStores(CrashingNode):
        pass

    OnTheStores.nodes = nodes
    run_state_machine_as_test(
        OnTheStores,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
