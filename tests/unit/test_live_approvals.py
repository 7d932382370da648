"""The live side of login approval without a socket: who waits, who is woken, and who is not asked any more."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from support.sockets import Sockets, connection, delivering

from auth.core.clock import iso, utc_now
from auth.core.errors import RateLimited, Unavailable
from auth.core.models import Approval, ApprovalStatus, Device
from realtime.broker.user_log import NewEvent
from realtime.delivery import approvals
from realtime.delivery.approvals import LiveApprovals
from realtime.hub import Connections, Frame

NOW = utc_now()
ASKED = Approval(
    "a1", b"login", "user", 58, (17, 58, 93), Device("Boat"), None, "192.0.2.1", NOW, NOW + timedelta(seconds=60)
)  # fmt: skip
DENIED = replace(ASKED, answer=ApprovalStatus.DENIED)


@dataclass
class Log:
    """Stands for the users' logs; `down`: Redis does not answer."""

    published: list[tuple[str, str]] = field(default_factory=list)
    down: bool = False

    async def publish(self, user_id: str, events: Sequence[NewEvent]) -> dict[str, int]:
        if self.down:
            raise Unavailable
        self.published += [(user_id, event.event) for event in events]
        return {}


@dataclass
class Others:
    """Stands for the bus."""

    told: list[dict[str, Any]] = field(default_factory=list)

    async def send_to_others(self, message: dict[str, Any]) -> None:
        self.told.append(message)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
def live(log: Any, others: Any) -> LiveApprovals:
    return LiveApprovals(log, others)


async def waits(live: LiveApprovals, login_id: bytes = b"login", seconds: float = 5) -> tuple[float, bool]:
    """Wait for news; for how long, and whether it was let go."""
    begun = time.monotonic()
    with live.listen(login_id) as news:
        await news.wait(seconds)
        return time.monotonic() - begun, news.over


async def test_an_answer_wakes_who_waits_here_and_is_told_to_every_node(
    live: LiveApprovals, log: Log, others: Others
) -> None:
    results: list[tuple[bytes, str, Any]] = []
    live.subscribe(lambda login_id, event, news: results.append((login_id, event, news.to_wire())))
    waiting = asyncio.create_task(waits(live))
    await asyncio.sleep(0)
    await live.tell(DENIED, off_for=3600.0)
    assert (await waiting)[0] < 1
    assert log.published == [("user", "login-approval-closed")]
    result = {"status": "denied", "retryAfterMs": 3_600_000}
    assert others.told == [{"t": "approval", "login": b"login".hex(), **result}]
    assert results == [(b"login", "login-approval-result", result)]


async def test_new_numbers_replace_the_request_and_wake_who_waits_on_any_node(
    live: LiveApprovals, log: Log, others: Others
) -> None:
    results: list[tuple[bytes, str, Any]] = []
    live.subscribe(lambda login_id, event, news: results.append((login_id, event, news.to_wire())))
    waiting = asyncio.create_task(waits(live))
    await asyncio.sleep(0)
    await live.renumber("a0", ASKED)
    assert (await waiting)[0] < 1
    assert log.published == [("user", "login-approval-closed"), ("user", "login-approval-requested")]
    number = {"number": 58, "expiresAt": iso(ASKED.expires_at)}
    assert results == [(b"login", "login-approval-number", number)]
    [message] = others.told
    live.take(message)
    assert results[1:] == results[:1]


async def test_what_another_node_took_wakes_who_waits_here(live: LiveApprovals, others: Others) -> None:
    waiting = asyncio.create_task(waits(live))
    await asyncio.sleep(0)
    live.take({"t": "approval", "login": b"another".hex(), "status": "approved"})
    await asyncio.sleep(0.05)
    assert not waiting.done()
    live.take({"t": "approval", "login": b"login".hex(), "status": "approved"})
    assert (await waiting)[0] < 1
    assert others.told == []


async def test_with_redis_down_a_request_fails_and_an_answer_still_wakes(live: LiveApprovals, log: Log) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await live.ask(ASKED)
    waiting = asyncio.create_task(waits(live))
    await asyncio.sleep(0)
    await live.tell(DENIED)
    assert (await waiting)[0] < 1


async def test_the_later_one_for_a_login_sends_the_earlier_one_home(live: LiveApprovals) -> None:
    earlier = asyncio.create_task(waits(live))
    await asyncio.sleep(0)
    later = asyncio.create_task(waits(live))
    assert (await earlier)[1] is True
    await live.tell(DENIED)
    assert await later == (pytest.approx(0, abs=1), False)


async def test_nothing_is_kept_of_who_waits_no_more(live: LiveApprovals) -> None:
    await asyncio.gather(*(waits(live, str(number % 5).encode(), 0.05) for number in range(40)))
    assert live._listeners == {}


async def test_a_node_holds_so_many_and_tells_the_rest_to_come_back(
    live: LiveApprovals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "MOST_LISTENERS", 2)
    with live.listen(b"one"), live.listen(b"two"):
        with pytest.raises(RateLimited), live.listen(b"three"):
            pass
        with live.listen(b"two"):
            pass


async def test_a_node_that_stops_lets_everybody_go(live: LiveApprovals) -> None:
    waiting = [asyncio.create_task(waits(live, login_id)) for login_id in (b"one", b"two")]
    await asyncio.sleep(0)
    live.close()
    assert [over for _, over in await asyncio.gather(*waiting)] == [True, True]
    with live.listen(b"three") as news:
        assert news.over


def asking() -> Frame:
    payload = {"approvalId": "a1", "numbers": [17, 58, 93], "expiresAt": iso(ASKED.expires_at)}
    return Frame("user", 7, 6, "login-approval-requested", "", None, "", payload)


@pytest.mark.parametrize(("seconds", "shown"), [(0, True), (59, True), (60, False), (3600, False)])
async def test_a_device_that_comes_back_late_is_not_asked_and_loses_nothing_else(
    seconds: int, shown: bool
) -> None:
    sockets, now = Sockets(), NOW + timedelta(seconds=seconds)
    _, push, _ = delivering(sockets, Connections(), clock=lambda: now)
    socket = connection("s1")
    push.deliver(socket, asking())
    push.deliver(socket, replace(asking(), event_id=8, previous=7, event="login-approval-closed"))
    expected = ["login-approval-requested", "login-approval-closed"] if shown else ["login-approval-closed"]
    assert [event for _, event in sockets.told] == expected
    assert socket.cursor == 8
