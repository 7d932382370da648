"""A node's registry of sockets, and the queue of one socket's events."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from auth.core.models import Client, Principal
from auth.platform.event_limits import EventBudget, EventWindow
from realtime.engine.timers import Timers
from realtime.event_queue import MAX_INBOX
from realtime.hub import Connection, Connections, SocketState

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def connection(socket_id: str = "socket", user_id: str = "user", session_id: str = "session") -> Connection:
    principal = Principal(
        user_id=user_id,
        session_id=session_id,
        generation=0,
        roles=(),
        amr=("pwd",),
        auth_time=NOW,
        issued_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
    )
    return Connection(socket_id, principal, Client("192.0.2.1"), EventBudget(EventWindow(None, 60, now=0), {}))


class TestRegistry:
    """By socket, by session and by user."""

    def test_a_socket_is_found_by_each_of_its_names(self) -> None:
        registry = Connections()
        mine = [
            connection("s1", "ada", "phone"),
            connection("s2", "ada", "phone"),
            connection("s3", "ada", "laptop"),
        ]
        theirs = connection("s4", "ben", "tablet")
        for each in (*mine, theirs):
            registry.add(each)
        assert len(registry) == 4
        assert registry.get("s2") is mine[1]
        assert set(registry.of_session("phone")) == set(mine[:2])
        assert set(registry.of_user("ada")) == set(mine)
        assert set(registry.sessions()) == {"phone", "laptop", "tablet"}

    def test_what_is_not_there_is_nothing(self) -> None:
        registry = Connections()
        assert registry.get("s1") is None
        assert registry.remove("s1") is None
        assert registry.of_session("phone") == registry.of_user("ada") == ()

    def test_it_may_change_while_it_is_gone_through(self) -> None:
        registry = Connections()
        for number in range(5):
            registry.add(connection(f"s{number}"))
        for each in registry:
            registry.remove(each.socket_id)
        assert len(registry) == 0


class Registry(RuleBasedStateMachine):
    """Against a plain dictionary: nothing is lost, and nothing is left behind."""

    sockets = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.registry = Connections()
        self.model: dict[str, Connection] = {}
        self.count = 0

    @rule(target=sockets, user=st.sampled_from("ab"), session=st.sampled_from("123"))
    def add(self, user: str, session: str) -> str:
        self.count += 1
        socket_id = f"s{self.count}"
        self.model[socket_id] = connection(socket_id, user, user + session)
        self.registry.add(self.model[socket_id])
        return socket_id

    @rule(socket_id=sockets)
    def remove(self, socket_id: str) -> None:
        assert self.registry.remove(socket_id) is self.model.pop(socket_id, None)

    @invariant()
    def they_agree(self) -> None:
        assert set(self.registry) == set(self.model.values())
        assert set(self.registry.sessions()) == {each.session_id for each in self.model.values()}
        for user in "ab":
            expected = {each for each in self.model.values() if each.user_id == user}
            assert set(self.registry.of_user(user)) == expected
            for session in "123":
                of_session = {each for each in expected if each.session_id == user + session}
                assert set(self.registry.of_session(user + session)) == of_session
        # A user's entry goes with the last socket, or a node would remember everybody who was ever there.
        assert len(self.registry._by_user) == len({each.user_id for each in self.model.values()})


TestRegistryAgainstAModel = Registry.TestCase


class TestQueue:
    """One at a time, in the order of their coming."""

    async def test_jobs_run_in_order_one_at_a_time(self) -> None:
        each, ran, running = connection(), [], []

        def job(number: int) -> Any:
            async def run() -> None:
                running.append(number)
                assert len(running) == 1
                await asyncio.sleep(0.002 * (5 - number))
                running.remove(number)
                ran.append(number)

            return run

        for number in range(5):
            assert each.enqueue(job(number))
        assert each.worker is not None
        await each.worker
        assert ran == [0, 1, 2, 3, 4]

    async def test_a_job_that_comes_while_one_runs_waits_for_it(self) -> None:
        each, ran, hold = connection(), [], asyncio.Event()

        async def first() -> None:
            await hold.wait()
            ran.append("first")

        async def second() -> None:
            ran.append("second")

        each.enqueue(first)
        await asyncio.sleep(0)
        each.enqueue(second)
        await asyncio.sleep(0)
        assert ran == []
        hold.set()
        assert each.worker is not None
        await each.worker
        assert ran == ["first", "second"]

    async def test_the_worker_goes_when_nothing_is_left_and_comes_again(self) -> None:
        each, ran = connection(), []

        async def job() -> None:
            ran.append(1)

        for times in (1, 2):
            each.enqueue(job)
            assert each.worker is not None
            await each.worker
            assert each.worker is None
            assert len(ran) == times

    async def test_no_more_wait_than_there_is_room_for(self) -> None:
        each, hold = connection(), asyncio.Event()

        async def wait() -> None:
            await hold.wait()

        assert each.enqueue(wait)
        await asyncio.sleep(0)  # it has begun, and waits no more for its turn
        assert all(each.enqueue(wait) for _ in range(MAX_INBOX))
        assert not each.enqueue(wait)
        hold.set()
        assert each.worker is not None
        await each.worker
        assert each.enqueue(wait)
        await each.worker

    async def test_a_job_that_fails_does_not_hold_up_those_behind_it(self) -> None:
        each, ran = connection(), []

        async def fail() -> None:
            raise RuntimeError("a job that failed")

        async def job() -> None:
            ran.append(1)

        each.enqueue(fail)
        each.enqueue(job)
        async with asyncio.timeout(30):
            while not ran:
                await asyncio.sleep(0)


class TestState:
    """Only a live socket is served the application's events."""

    @pytest.mark.parametrize("state", SocketState)
    def test_which_states_serve(self, state: SocketState) -> None:
        each = connection()
        each.state = state
        assert each.serves is (state is SocketState.LIVE)

    def test_a_new_one_is_still_connecting(self) -> None:
        assert connection().state is SocketState.CONNECTING

    async def test_cancelled_timers_do_not_go_off(self) -> None:
        each, went_off = connection(), []
        each.timer = Timers().after(0, lambda: went_off.append(1))
        each.cancel_timer()
        await asyncio.sleep(0.01)
        assert (went_off, each.timer) == ([], None)
