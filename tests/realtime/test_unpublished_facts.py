"""Facts that a node could not publish, because its Redis was down: another node publishes them at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from support.nodes import Installation, ServiceUrls
from support.ports import free_port
from support.session_world import make_session

from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.events import SessionCreated, SessionEnded
from auth.core.models import SYSTEM, RevocationReason, Session
from auth.platform.settings.settings import Settings
from realtime.delivery.relay import PAUSE, facts_of
from runtime.node import Node
from runtime.provision import root

Start = Callable[[str], Node]


@pytest.fixture
async def start(services: ServiceUrls) -> AsyncIterator[Start]:
    """Builds nodes of one installation on a given Redis; their background tasks do not run."""
    settings = Settings.load(Installation(services).environ())
    async with AsyncExitStack() as stack:

        def start(redis_url: str) -> Node:
            node = Node(
                settings,
                mongo_url=services.patient_mongo,
                redis_url=redis_url,
                root=root(settings),
                application=None,
            )
            stack.push_async_callback(node.close)
            return node

        yield start


@pytest.fixture
def cut_off(start: Start) -> Node:
    """A node whose Redis does not answer."""
    return start(f"redis://127.0.0.1:{free_port()}/0")


@pytest.fixture
def well(start: Start, services: ServiceUrls) -> Node:
    return start(services.redis)


async def revoked_on(node: Node) -> Session:
    """A session that a node has revoked and could not publish."""
    sessions = node.stores.sessions
    begun = make_session(utc_now())
    await sessions.create(begun)
    await sessions.mark_published(begun.session_id, ["created"], user_id=begun.user_id)
    ended = await sessions.revoke(
        begun.session_id,
        user_id=begun.user_id,
        reason=RevocationReason.REVOKED,
        by=SYSTEM,
        ip=None,
        now=node.clock(),
    )
    assert ended is not None
    delivery = await node.outbound.publisher.publish([end_of(ended)], wait=True)
    assert delivery.incomplete
    return ended


def end_of(session: Session) -> SessionEnded:
    return SessionEnded(session, RevocationReason.REVOKED, SYSTEM, utc_now())


async def is_denied_by(node: Node, session: Session) -> bool:
    deny_list = node.outbound.deny_list
    await deny_list.restore(node.stores.sessions, node.stores.room_members, now=node.clock() + timedelta(days=1))
    return await deny_list.is_revoked(session.user_id, session.session_id)


async def test_a_revocation_that_a_node_could_not_publish_is_published_by_the_next_relay(
    cut_off: Node, well: Node
) -> None:
    """It does not wait until the fact is so old that its node must have died."""
    session = await revoked_on(cut_off)
    assert not await is_denied_by(well, session)
    await well.outbound._relay._publish_backlog()
    assert await is_denied_by(well, session)


async def test_a_relay_without_redis_keeps_no_revocation_from_the_others(cut_off: Node, well: Node) -> None:
    session = await revoked_on(cut_off)
    with pytest.raises(Unavailable):
        await cut_off.outbound._relay._publish_backlog()
    well.clock._offset += PAUSE.total_seconds()
    await well.outbound._relay._publish_backlog()
    assert await is_denied_by(well, session)


async def test_a_session_whose_end_was_published_first_is_not_announced_as_created() -> None:
    begun = make_session(utc_now())
    ended = replace(begun, revoked_at=utc_now(), revoked_reason=RevocationReason.REVOKED, revoked_by=SYSTEM)
    assert facts_of(begun, frozenset({"created"}), now=utc_now()) == [SessionCreated(begun)]
    assert facts_of(ended, frozenset({"created"}), now=utc_now()) == []
    both = facts_of(ended, frozenset({"created", "ended"}), now=utc_now())
    assert [type(fact) for fact in both] == [SessionCreated, SessionEnded]
