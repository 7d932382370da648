"""No sweep or loop dies of one item: what cannot be dealt with is logged, and those behind it have their turn."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from structlog.testing import capture_logs
from support.parts import without_init
from support.session_world import stand_in_services
from support.sockets import Sockets, connection, delivering
from support.waiting import eventually

from auth.accounts.deletion import AccountDeletion
from auth.admin.roles import Roles
from auth.core.errors import Unavailable
from auth.core.models import SYSTEM, HeldRoles, RevocationReason, SessionsToEnd
from auth.platform.periodic_tasks import PeriodicTask, one_item
from auth.sessions.endings import SessionEndings
from auth.stores.users.pending_revocations import PendingRevocation
from realtime.broker.dead_node_cleanup import DeadNodeCleanup
from realtime.broker.user_log import JoinResult
from realtime.delivery.relay import Relay
from realtime.delivery.watchdog import Watchdog
from realtime.gateway.draining import drain
from realtime.hub import Connection, Connections, Frame

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ITEMS = ("first", "poison", "last")
# In the place of a part that is not asked for anything.
UNUSED = cast("Any", None)


class Dealings:
    """Deals with items, but for the poisoned one."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.waiting = list(ITEMS)

    async def deal(self, item: str, *_: Any, **__: Any) -> Any:
        self.deal_now(item)

    def deal_now(self, item: str, *_: Any, **__: Any) -> None:
        if item == "poison":
            raise ValueError(item)
        self.done.append(item)

    async def claim(self, **_: Any) -> str | None:
        return self.waiting.pop(0) if self.waiting else None

    async def nothing(self, *_: Any, **__: Any) -> None:
        return None


def a_part(**members: Any) -> Any:
    return SimpleNamespace(**members)


async def erase_accounts(all_of: Dealings) -> None:
    deletion = without_init(
        AccountDeletion,
        _clock=lambda: NOW,
        _users=a_part(claim_deletion=all_of.claim, erase=all_of.nothing),
        _sessions=a_part(end_all=all_of.nothing),
        _parts=a_part(erase=all_of.deal),
        _presence=a_part(forget=all_of.nothing),
        _audit=a_part(record=all_of.nothing),
    )
    assert await deletion.erase_due() == 2


async def end_sessions(all_of: Dealings) -> None:
    async def claim(**_: Any) -> PendingRevocation | None:
        user_id = await all_of.claim()
        ends = SessionsToEnd("e", NOW, RevocationReason.PASSWORD_CHANGED, SYSTEM)
        return PendingRevocation(user_id, ends) if user_id else None

    store = a_part(claim=claim, done=all_of.nothing)
    endings = SessionEndings(
        stand_in_services(clock=lambda: NOW), store=store, sessions=a_part(end_matching=all_of.deal)
    )
    assert await endings.finish_due() == 2


async def tell_of_roles(all_of: Dealings) -> None:
    async def claim(**_: Any) -> Any:
        user_id = await all_of.claim()
        return a_part(user_id=user_id, roles=(), roles_version=1, held_roles=HeldRoles((), 1)) if user_id else None

    roles = without_init(
        Roles,
        _clock=lambda: NOW,
        _directory=a_part(claim_roles=claim, roles_in_force=all_of.nothing),
        _session_roles=a_part(set_for_user=all_of.deal),
        _publisher=a_part(publish=all_of.nothing),
    )
    assert await roles.finish_due() == 2


async def relay_facts(all_of: Dealings) -> None:
    async def claim(**_: Any) -> Any:
        session_id = await all_of.claim()
        return (a_part(session_id=session_id, user_id="ada"), frozenset()) if session_id else None

    sessions = a_part(claim_unpublished=claim, mark_published=all_of.deal)
    await Relay(sessions, UNUSED, UNUSED, UNUSED, UNUSED, clock=lambda: NOW)._publish_backlog()


async def tell_of_expired_sessions(all_of: Dealings) -> None:
    async def claim(**_: Any) -> Any:
        session_id = await all_of.claim()
        return a_part(session_id=session_id, revoked_at=None, revoked_reason=None) if session_id else None

    async def publish(facts: Any) -> None:
        await all_of.deal(facts[0].session.session_id)

    await Relay(
        a_part(expire_one=claim), UNUSED, UNUSED, a_part(publish=publish), UNUSED, clock=lambda: NOW
    )._end_expired()


def watchdog_of(all_of: Dealings, *, live: set[str]) -> Any:
    async def live_among(*_: Any, **__: Any) -> set[str]:
        return live

    async def changed_among(_: Any, **__: Any) -> dict[str, HeldRoles]:
        return {item: HeldRoles((), 1) for item in live}

    return Watchdog(
        a_part(
            sessions=a_part(live_among=live_among, get=all_of.deal),
            session_roles=a_part(changed_among=changed_among),
        ),
        a_part(of_session=lambda session_id: [a_part(socket_id=session_id, user_id="ada")]),
        a_part(update_roles=lambda connection, _: all_of.deal_now(connection.socket_id), drop=lambda *_: None),
        UNUSED,
        UNUSED,
        asked=asyncio.Event(),
        clock=lambda: NOW,
    )


async def watch_for_ended_sessions(all_of: Dealings) -> None:
    await watchdog_of(all_of, live=set()).check(ITEMS)


async def watch_for_roles(all_of: Dealings) -> None:
    await watchdog_of(all_of, live=set(ITEMS)).check(ITEMS)


async def clear_up_after_a_node(all_of: Dealings) -> None:
    async def leave(_node_id: str, entry: str, *_: Any, **__: Any) -> bool:
        await all_of.deal(entry.split("|")[2])
        return True

    async def is_expired(_node_id: str) -> bool:
        return True

    leases = a_part(is_expired=is_expired)
    clearing = DeadNodeCleanup(UNUSED, UNUSED, a_part(leave=leave), leases, run_hooks=None, clock=lambda: NOW)
    entries = [f"user|session|{item}" for item in ITEMS]
    assert await clearing.discard("dead", entries, is_dead=True, is_last_try=False)


async def catch_up_sockets(all_of: Dealings) -> None:
    async def rejoin(connection: Connection, **_: Any) -> JoinResult:
        all_of.deal_now(connection.socket_id)
        return JoinResult("ok", recovered=True)

    catch_up, _, _ = delivering(Sockets(), Connections(), user_log=a_part(rejoin=rejoin))
    await catch_up.every([connection(item) for item in ITEMS])


async def drain_sockets(all_of: Dealings) -> None:
    connections = Connections()
    for item in ITEMS:
        connections.add(connection(item))
    push = a_part(drop=lambda each, _why: all_of.deal_now(each.socket_id))
    await drain(connections, a_part(drain=lambda **_: None), Sockets(), push)  # type: ignore[arg-type]


async def push_a_frame(all_of: Dealings) -> None:
    class Poisoned(Sockets):
        def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
            all_of.deal_now(socket_id)

    connections = Connections()
    for item in ITEMS:
        connections.add(connection(item))
    catch_up, _, _ = delivering(Poisoned(), connections)
    await catch_up.take(Frame("user", 2, 0, "chat", "", None, "", {}))


LOOPS = (
    erase_accounts,
    end_sessions,
    tell_of_roles,
    relay_facts,
    tell_of_expired_sessions,
    watch_for_ended_sessions,
    watch_for_roles,
    clear_up_after_a_node,
    catch_up_sockets,
    drain_sockets,
    push_a_frame,
)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: cast("Any", loop).__name__)
async def test_a_poisoned_item_costs_no_other_its_turn(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.gateway.draining.DRAIN_NOTICE_SECONDS", 0)
    all_of = Dealings()
    with capture_logs() as logs:
        await loop(all_of)
    assert sorted(all_of.done) == ["first", "last"]
    [failed] = [line for line in logs if line["event"] == "item_failed"]
    assert "poison" in orjson.dumps({name: str(value) for name, value in failed.items()}).decode()


async def test_a_store_that_is_down_ends_the_round_and_not_the_sweep() -> None:
    rounds = 0

    async def work() -> int:
        nonlocal rounds
        rounds += 1
        with one_item("test"):
            raise Unavailable if rounds < 3 else ValueError
        return 1

    sweep = PeriodicTask("test", work, every_seconds=0)
    sweep.start()

    async def went_on() -> bool:
        return rounds > 5

    await eventually(went_on, "more rounds", timeout=30, every=0.001)
    await sweep.close()


async def test_a_sweep_ends_though_a_library_swallows_its_cancellation() -> None:
    """As `asyncio.wait_for` does until Python 3.12, by which drivers speak to their servers."""
    begun, swallowed = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        return 0

    sweep = PeriodicTask("test", work, every_seconds=3600)
    sweep.start()
    await begun.wait()
    async with asyncio.timeout(10):
        await sweep.close()
    assert swallowed.is_set()


def test_who_is_cancelled_is_no_item_that_failed() -> None:
    with pytest.raises(asyncio.CancelledError), one_item("test"):
        raise asyncio.CancelledError
