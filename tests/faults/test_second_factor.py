"""A store dies while a login waits for its second factor: the login is not lost, and nobody gets in without it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.breakable import Stores
from support.clients import Api, Live, Login, Refused
from support.nodes import Node
from support.secured import Secured, secure
from support.waiting import eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]


async def test_without_redis_a_login_is_finished_and_its_socket_comes_back_by_its_token(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    secured = await secure(on(pair[0]))
    waiting = await connect(pair[0], None, mfa_token=await secured.begin())
    whole.redis.kill()
    # One that comes now may wait as well: MongoDB knows the login.
    late = await connect(pair[1], None, mfa_token=await secured.begin())
    for live, number in ((waiting, 0), (late, 1)):
        ack = await live.ask("mfa-verify", secured.recovery(number), timeout=30)
        assert ack["ok"] is True
        await live.until_gone()
        assert live.all("ready") == []
        login = Login(secured.api, dict(ack))
        assert (await login.call("GET", "/me")).status == 200
    body = {"mfaToken": await secured.begin(), **secured.recovery(2)}
    assert (await secured.api.call("POST", "/2fa/verify", body)).status == 200
    whole.redis.start()
    live = await connect(pair[1], login.access_token)
    assert live.ready["sessionId"] == login.session_id


async def test_asvs_16_5_3_without_mongodb_a_login_waits_and_no_code_is_spent(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    secured = await secure(on(pair[0]))
    token = await secured.begin()
    live = await connect(pair[0], None, mfa_token=token)
    whole.mongo.kill()
    for _ in range(2):
        ack = await live.ask("mfa-verify", secured.recovery(0), timeout=30)
        assert (ack["ok"], ack["code"]) == (False, "unavailable")
        assert ack["retryAfterMs"] > 0
    refused = await secured.api.call("POST", "/2fa/verify", {"mfaToken": token, **secured.recovery(0)})
    assert (refused.status, refused.code) == (503, "unavailable")
    with pytest.raises(Refused) as turned_away:
        await Live.connect(pair[1].url, None, mfa_token=token)
    assert turned_away.value.data["code"] == "unavailable"
    assert not live.gone.is_set()
    whole.mongo.start()
    assert (await eventually_served(live, secured))["ok"] is True
    await live.wait("ready", timeout=30)


async def eventually_served(live: Live, secured: Secured) -> Any:
    async def served() -> Any:
        ack = await live.ask("mfa-verify", secured.recovery(0), timeout=30)
        return ack if ack.get("code") != "unavailable" else None

    return await eventually(served, "the answer is judged", timeout=30)
