"""Outages and bugs: what is ours to answer for never looks like a logout, and never shows our insides."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.breakable import Stores
from support.clients import Api
from support.waiting import eventually

from auth.http.cookies import ACCESS_COOKIE


@pytest.fixture
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with Stores(tmp_path_factory.mktemp("stores")) as own:
        yield own


async def test_asvs_16_5_2_while_mongodb_is_away_nobody_is_logged_out(
    stores: Stores, browser: Any, send: Any, http: Any
) -> None:
    node = stores.installation().start()
    email = await Api(node.url, http).register()
    await browser.login(email, "cookies", url=node.url)
    del browser.cookies[ACCESS_COOKIE]
    cookies = dict(browser.cookies)

    stores.mongo.kill()
    for method, path in (("GET", "/me"), ("POST", "/refresh"), ("POST", "/logout")):
        answer = await browser.call(method, path, url=node.url)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert browser.cookies == cookies
        assert "mongo" not in json.dumps(answer.body).lower()
    ready = await send("GET", "/health/ready", url=node.url)
    assert (ready.status, ready.code) == (503, "unavailable")
    assert "mongo" in [error["field"] for error in ready.body["errors"]]
    assert "Retry-After" in ready.headers
    assert (await send("GET", "/health/live", url=node.url)).status == 200

    stores.mongo.start()

    async def is_served() -> bool:
        return (await browser.call("GET", "/me", url=node.url)).status == 200

    await eventually(is_served, "the same cookies are good again", timeout=20)
    assert ACCESS_COOKIE in browser.cookies
    assert (await send("GET", "/health/ready", url=node.url)).status == 200
    assert node.stop() == 0


async def test_beyond_a_limit_the_answer_says_when_to_come_back(start_node: Any, send: Any, http: Any) -> None:
    node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_API="5/minute")
    answers = [await send("GET", "/api/auth/me", url=node.url) for _ in range(6)]
    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert answers[-1].code == "rate_limited"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert (await send("GET", "/health/live", url=node.url)).status == 200
    assert (await send("GET", "/", url=node.url)).status == 200


async def test_refreshes_have_a_limit_of_their_own(start_node: Any, http: Any) -> None:
    node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_REFRESH="2/minute")
    api = Api(node.url, http)
    login = await api.login(await api.register())
    assert [(await login.refresh()).status for _ in range(3)] == [200, 200, 429]
    assert (await login.call("GET", "/me")).status == 200
