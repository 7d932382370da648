"""Roles on the live socket: they change under its feet, on every node, and what rests on them goes with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from support.administration import first_administrator, grant
from support.clients import Api, Live, Login
from support.nodes import Installation, Node
from support.waiting import eventually

from realtime.broker.redis_keys import Keys

HEARD = ("probe:said", "probe:roles")

Connect = Callable[..., Awaitable[Live]]
LogIn = Callable[..., Awaitable[Login]]
Pair = tuple[Node, Node]


@pytest.fixture(scope="session")
def administrator(probe_installation: Installation, probe_nodes: Pair) -> str:
    """The address of an admin of the probe nodes."""
    return first_administrator(probe_installation, probe_nodes[0].url)


@pytest.fixture
async def give(
    probe_nodes: Pair, http: aiohttp.ClientSession, administrator: str
) -> Callable[..., Awaitable[None]]:
    """Gives a user roles, as the admin does it on the first node."""
    admin = await Api(probe_nodes[0].url, http).login(administrator)

    async def give(login: Login, *roles: str) -> None:
        path = f"/admin/users/{login.data['user']['userId']}/roles"
        answer = await admin.call("PUT", path, {"roles": list(roles)})
        assert answer.status == 200, answer.body

    return give


async def roles_of(live: Live) -> list[str]:
    roles: list[str] = (await live.ask("probe:roles"))["roles"]
    return roles


def said(*roles: str) -> Callable[[Any], bool]:
    return lambda event: event["roles"] == list(roles)


async def test_asvs_8_3_2_live_sockets_on_every_node_act_by_new_roles_at_once(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    lives = [await connect(node, login.access_token, also=HEARD) for node in probe_nodes]
    for live in lives:
        assert (await live.ask("probe:moderate"))["code"] == "forbidden"
    await give(login, "moderator")
    for live in lives:
        told = await live.wait("roles-changed", said("moderator"))
        assert told.keys() == {"eventId", "roles", "version"}
        assert await live.ask("probe:moderate") == {"ok": True, "roles": ["moderator"]}
        assert await live.wait("probe:roles") == {"roles": ["moderator"]}  # the application's hook
    await give(login)
    for live in lives:
        await live.wait("roles-changed", said())
        assert (await live.ask("probe:moderate"))["code"] == "forbidden"
        assert not live.gone.is_set()  # it stays what it was: a user's


async def test_an_admin_is_served_what_any_role_is_served(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    live = await connect(probe_nodes[1], login.access_token)
    await give(login, "admin")
    await live.wait("roles-changed", said("admin"))
    assert (await live.ask("probe:moderate"))["ok"] is True


async def test_the_command_of_the_operator_reaches_live_sockets_too(
    probe_installation: Installation, probe_nodes: Pair, connect: Connect, log_in: LogIn
) -> None:
    login = await log_in(probe_nodes[0])
    live = await connect(probe_nodes[1], login.access_token)
    await asyncio.to_thread(grant, probe_installation, login.data["user"]["email"], "moderator")
    await live.wait("roles-changed", said("moderator"))
    assert (await live.ask("probe:moderate"))["ok"] is True


async def test_no_token_of_before_brings_a_role_back(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    """By a new handshake, by re-authentication, or after a reconnection that misses nothing."""
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    await login.refresh()
    old = login.access_token
    live = await connect(probe_nodes[1], old)
    assert await roles_of(live) == ["moderator"]
    await give(login)
    await live.wait("roles-changed", said())
    assert (await live.ask("reauthenticate", {"token": old}))["ok"] is True
    assert await roles_of(live) == []
    for node in probe_nodes:
        assert await roles_of(await connect(node, old)) == []
        assert await roles_of(await connect(node, old, last_event_id=live.ready["lastEventId"])) == []
    await login.refresh()
    assert (await live.ask("reauthenticate", {"token": login.access_token}))["ok"] is True
    assert await roles_of(live) == []


async def test_a_role_given_holds_with_a_token_that_does_not_know_of_it(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    live = await connect(probe_nodes[1], login.access_token)
    assert await roles_of(live) == ["moderator"]
    assert (await live.ask("reauthenticate", {"token": login.access_token}))["ok"] is True
    assert await roles_of(live) == ["moderator"]
    refreshed = await live.ask("refresh", {"refreshToken": login.refresh_token})
    assert refreshed["ok"] is True
    assert await roles_of(live) == ["moderator"]


async def test_when_redis_forgets_a_privileged_token_is_still_looked_up(
    probe_installation: Installation,
    probe_nodes: Pair,
    connect: Connect,
    log_in: LogIn,
    give: Any,
    redis_client: redis.asyncio.Redis,
) -> None:
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    await login.refresh()
    await give(login)
    user_id = login.data["user"]["userId"]
    assert await redis_client.delete(Keys(probe_installation.name).meta(user_id)) == 1
    assert await roles_of(await connect(probe_nodes[0], login.access_token)) == []


async def test_a_room_entered_by_a_role_is_left_with_it_and_no_other(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    here, there = [await connect(node, login.access_token, also=HEARD) for node in probe_nodes]
    assert (await here.ask("probe:enter-as-moderator", {"room": "mods"}))["ok"] is True
    for live in (here, there):
        assert (await live.ask("probe:enter", {"room": "all"}))["ok"] is True
    await there.ask("probe:say", {"room": "mods", "n": 1})
    await here.wait("probe:said", lambda event: event["n"] == 1)
    await give(login)
    await here.wait("roles-changed", said())
    await there.ask("probe:say", {"room": "mods", "n": 2})
    await there.ask("probe:say", {"room": "all", "n": 3})
    await here.wait("probe:said", lambda event: event["n"] == 3)
    assert [event["n"] for event in here.all("probe:said")] == [1, 3]


async def test_a_room_that_was_also_entered_without_a_role_is_kept(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    live = await connect(probe_nodes[0], login.access_token, also=HEARD)
    await live.ask("probe:enter-as-moderator", {"room": "both"})
    await live.ask("probe:enter", {"room": "both"})
    await give(login)
    await live.wait("roles-changed", said())
    await live.ask("probe:say", {"room": "both", "n": 1})
    await live.wait("probe:said", lambda event: event["n"] == 1)


async def test_a_handler_at_work_enters_nothing_by_a_role_that_is_gone(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    await give(login, "moderator")
    live = await connect(probe_nodes[1], login.access_token, also=HEARD)
    entering = asyncio.create_task(live.ask("probe:enter-as-moderator", {"room": "late", "seconds": 1.5}))
    # Queued behind it while the role is still there, and judged when its turn comes.
    waiting = asyncio.create_task(live.ask("probe:moderate"))
    await asyncio.sleep(0.1)
    await give(login)
    assert (await entering)["code"] == (await waiting)["code"] == "forbidden"
    await live.ask("probe:say", {"room": "late", "n": 1})
    assert (await live.ask("probe:roles"))["roles"] == []
    assert live.all("probe:said") == []


async def test_changes_in_quick_succession_end_with_the_last(
    probe_nodes: Pair, connect: Connect, log_in: LogIn, give: Any
) -> None:
    login = await log_in(probe_nodes[0])
    lives = [await connect(node, login.access_token) for node in (*probe_nodes, *probe_nodes)]
    for turn in range(6):
        await give(login, *(["moderator"] if turn % 2 else ["admin"]))
    await give(login)
    for live in lives:

        async def settled(live: Live = live) -> bool:
            return await roles_of(live) == []

        await eventually(settled, "the last change holds", timeout=30)
        versions = [event["version"] for event in live.all("roles-changed")]
        assert versions == sorted(versions)
        assert live.all("roles-changed")[-1]["roles"] == []
