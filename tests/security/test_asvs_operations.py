"""OWASP ASVS 5.0, V11 and V16: passwords at rest, logs, and what happens when something fails."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from pymongo import MongoClient
from support.clients import PASSWORD, Api
from support.login_methods import WAYS
from support.nodes import Installation, ServiceUrls, drop
from support.waiting import eventually

from auth.crypto.passwords import LEAST_MEMORY_KIB

# What to answer wrongly with, by the way in.
WRONG: dict[str, Callable[[Any], dict[str, Any]]] = {
    "app": lambda body: {"code": f"{(int(body['code']) + 1) % 10**6:06}"},
    "recovery code": lambda body: {"code": "AAAAA-" * 4 + "AAAAA"},
    "passkey": lambda body: {"credential": body["credential"] | {"id": "AAAA", "rawId": "AAAA"}},
    "phone": lambda body: {"otp": f"{(int(body['otp']) + 1) % 10**6:06}"},
}


@pytest.mark.parametrize("is_as_shipped", [True, False])
async def test_asvs_11_4_2_passwords_are_kept_by_argon2id_of_rfc_9106(
    services: ServiceUrls, http: Any, is_as_shipped: bool
) -> None:
    """By the server as its users run it; the other nodes of these tests hash at the lowest cost."""
    installation = Installation(services, is_as_shipped)
    node = installation.start()
    email = await Api(node.url, http).register()
    assert node.stop() == 0
    with MongoClient[Any](installation.services.mongo) as client:
        user = client[installation.name]["users"].find_one({"emailKey": email})
    assert user is not None
    expected = dataclasses.replace(RFC_9106_LOW_MEMORY, parallelism=1)
    if not is_as_shipped:
        expected = dataclasses.replace(expected, time_cost=1, memory_cost=LEAST_MEMORY_KIB)
    assert extract_parameters(user["passwordHash"]) == expected
    assert PASSWORD not in str(user)
    drop(services, installation.name)


async def test_asvs_16_3_1_every_login_is_written_down_with_its_factors_whichever_way_in(
    installation: Installation, start_node: Any, http: Any
) -> None:
    """Those by providers are in tests/http/providers, those by approval in tests/realtime."""
    api = Api(start_node().url, http)
    with MongoClient[Any](installation.services.mongo) as client:
        for way in WAYS.values():
            path, body = await way.begin(api, "body")
            answer = await api.call("POST", path, body)
            assert answer.status == 200, answer.body
            session_id = answer.data["session"]["sessionId"]
            event = client[installation.name]["audit_events"].find_one({"kind": "login", "sessionId": session_id})
            assert event is not None
            assert event["userId"] == answer.data["user"]["userId"]
            assert event["details"] == {"amr": " ".join(way.amr), "delivery": "body"}
            assert (event["ip"], event["userAgent"]) == ("127.0.0.1", answer.data["session"]["userAgent"])


async def test_asvs_16_3_1_every_failed_login_is_written_down_with_what_was_wrong(
    installation: Installation, start_node: Any, http: Any
) -> None:
    api = Api(start_node().url, http)
    email = await api.register()
    await api.call("POST", "/login", {"email": email, "password": "a wrong password"})
    await api.call("POST", "/login", {"email": "nobody@example.org", "password": "a wrong password"})
    for name, wrong in WRONG.items():
        path, body = await WAYS[name].begin(api, "body")
        assert (await api.call("POST", path, body | wrong(body))).code == "invalid_code"
    with MongoClient[Any](installation.services.mongo) as client:
        events = list(client[installation.name]["audit_events"].find({"kind": "login_failed"}).sort("at", 1))
    assert [event["details"]["reason"] for event in events] == [
        "wrong_password", "unknown_account", "wrong_totp", "wrong_recovery_code", "wrong_passkey", "wrong_sms",
    ]  # fmt: skip
    assert all(event["ip"] == "127.0.0.1" and event["at"] for event in events)


async def test_asvs_16_3_1_a_login_that_a_limit_refused_is_in_the_log(start_node: Any, http: Any) -> None:
    """Before its password is looked at, so not in the trail, which whoever likes could fill so."""
    node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_LOGIN="2/5 minutes", VIGIL_LOG_FORMAT="json")
    api = Api(node.url, http)
    email = await api.register()
    for _ in range(2):
        await api.call("POST", "/login", {"email": email, "password": "a wrong password"})
    refused = await api.call("POST", "/login", {"email": email, "password": PASSWORD})
    assert refused.code == "rate_limited"

    async def logged() -> dict[str, Any]:
        lines = [json.loads(line) for line in node.log if line.startswith("{")]
        mine = {line["event"]: line for line in lines if line.get("request_id") == refused.body["requestId"]}
        return mine if "request" in mine else {}

    mine = await eventually(logged, "the request's line", timeout=30)
    assert mine["rate_limited"]["limit"] == "login"
    assert (mine["request"]["path"], mine["request"]["ip"]) == ("/api/auth/login", "127.0.0.1")
    assert email not in node.text()


async def test_asvs_16_5_2_without_its_bus_a_node_goes_on_safely(
    installation: Installation, start_node: Any, http: Any
) -> None:
    """tests/faults kills, freezes and empties both stores; here the gist: a revoked token stays refused."""
    # A Redis that nobody answers for, from the start.
    api = Api(start_node(VIGIL_REDIS_URL="redis://127.0.0.1:1").url, http)
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    assert (await login.call("GET", "/me")).status == 200
    assert (await other.call("DELETE", f"/sessions/{login.session_id}")).status == 200
    assert (await login.call("GET", "/me")).code == "session_revoked"
