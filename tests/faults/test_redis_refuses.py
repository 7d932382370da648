"""Redis is there and refuses: every write, for want of a replica. To Vigil that is Redis being down."""

from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from support.authenticator import Authenticator
from support.breakable import Stores
from support.clients import PASSWORD, Api, Live, Refused
from support.health import both_ready, readiness
from support.nodes import Node
from support.waiting import eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]

# Deaf after 5 s, MongoDB is asked every 2 s; the rest is for a busy machine. Unnoticed, it would stay.
TOLD_SECONDS = 20


@pytest.fixture
def without_replicas(whole: Stores) -> Iterator[Callable[[int], None]]:
    """Sets how many replicas a write needs; there are none."""
    with whole.redis_client() as client:
        yield lambda needed: client.config_set("min-replicas-to-write", needed)
        client.config_set("min-replicas-to-write", 0)


async def test_asvs_16_5_2_without_the_replicas_that_writes_need_everything_goes_on_from_mongodb(
    pair: Pair,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
    without_replicas: Callable[[int], None],
) -> None:
    here, there = pair
    email = await on(here).register()
    laptop, phone = await on(here).login(email), await on(here).login(email)
    seeing, ended = await connect(here, laptop.access_token), await connect(there, phone.access_token)
    without_replicas(1)
    revoked = await laptop.call("DELETE", f"/sessions/{phone.session_id}")
    assert (revoked.status, revoked.data["delivery"]["incomplete"]) == (200, True)
    # All on one node: the other has nothing to publish, and is to find out by itself.
    tablet = await on(here).login(email)
    assert (await tablet.refresh()).data["outcome"] == "rotated"
    assert (await tablet.call("GET", "/sessions")).data["count"] == 2
    with pytest.raises(Refused) as refusal:
        await Live.connect(here.url, tablet.access_token)
    assert (refusal.value.data["code"], refusal.value.data["retryable"]) == ("unavailable", True)
    assert refusal.value.data["retryAfterMs"] > 0
    # Everything that is published arrives, and still neither node may say that it hears.
    told = await ended.wait("session-revoked", timeout=TOLD_SECONDS)
    assert told["by"]["sessionId"] == laptop.session_id
    await ended.until_gone()
    for node in pair:
        assert (await on(node).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
    assert not seeing.gone.is_set()

    async def neither_is_ready() -> bool:
        return {(await readiness(http, node)).status for node in pair} == {503}

    await eventually(neither_is_ready, "neither says that it is ready", timeout=30)
    without_replicas(0)
    await both_ready(http, *pair)
    removed = await seeing.wait("sessions-changed", lambda e: e["change"] == "removed", timeout=12)
    assert removed["session"]["sessionId"] == phone.session_id
    await connect(there, tablet.access_token)


async def test_the_first_requests_at_another_node_are_served_or_refused_as_unavailable(
    pair: Pair, on: On, connect: Connect, without_replicas: Callable[[int], None]
) -> None:
    here, there = pair
    email = await on(here).register()
    login = await on(here).login(email)
    secret = (await login.call("POST", "/2fa/setup", {})).data["secret"]
    await login.call("POST", "/2fa/enable", {"code": await Authenticator(secret).code()})
    await connect(here, login.access_token)
    without_replicas(1)
    first = await on(there).call("POST", "/login", {"email": email, "password": PASSWORD})
    token = first.data["mfaToken"]
    answers = [
        first,
        await on(there).call("POST", "/approvals", {"mfaToken": token}),
        await on(there).call("GET", "/sessions", token=login.access_token),
        await on(there).call("POST", "/refresh", {"refreshToken": login.refresh_token}),
        await on(there).call("POST", "/login", {"email": email, "password": "not the password"}),
        await on(there).call("POST", "/sessions/revoke-others", {}, token=login.access_token),
    ]
    assert [answer.status for answer in answers] == [200, 503, 200, 200, 401, 200]
    assert (answers[1].code, int(answers[1].headers["Retry-After"]) >= 1) == ("unavailable", True)
    with pytest.raises(Refused) as refusal:
        await Live.connect(there.url, login.access_token)
    assert (refusal.value.data["code"], refusal.value.data["retryable"]) == ("unavailable", True)
