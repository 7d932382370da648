"""Server keys: who makes them, what they may do, and that a revoked one is refused at once on every node."""

import asyncio
import re
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.clients import Api, Login
from support.commands import run_command
from support.nodes import Installation, Node, mongo_client

KEY = re.compile(r"vsk_([0-9a-f]{16})_([0-9a-f]{64})")
NO_TOKEN = {"token": "x"}


@pytest.fixture(scope="module")
def every_scope(shared_installation: Installation, node: Node) -> str:
    """A key with every scope; the node has created the indexes."""
    return create_key(shared_installation, "emit", "presence", "sessions", "users", "events", "revocations")


@pytest.fixture
def backend(every_scope: str, node: Node, http: aiohttp.ClientSession) -> Backend:
    return Backend(node.url, every_scope, http)


def stored(installation: Installation, key: str) -> Any:
    database = mongo_client(installation.services.mongo)[installation.name]
    return database["server_keys"].find_one({"_id": key.split("_")[1]})


async def new_key(admin: Login, *scopes: str, **more: Any) -> tuple[str, str]:
    """A key that the admin creates: its id, and its text."""
    body = {"name": "shop", "scopes": list(scopes)} | more
    answer = await admin.call("POST", "/admin/server-keys", body)
    assert answer.status == 201, answer.body
    return answer.data["serverKey"]["id"], answer.data["key"]


# The operator's command ------------------------------------------------------------------------------------


def test_the_operator_creates_lists_and_revokes(shared_installation: Installation, node: Node) -> None:
    text = create_key(shared_installation, "presence", "emit", name="billing", days=30)
    match = KEY.fullmatch(text)
    assert match is not None
    environ = shared_installation.environ()
    listed = run_command("server-keys", "list", environ=environ).out
    (line,) = [line for line in listed.splitlines() if match[1] in line]
    assert "'billing' (emit, presence)" in line
    assert "expires" in line
    assert match[2] not in listed
    assert run_command("server-keys", "revoke", match[1], environ=environ).status == 0
    assert f"{match[1]} 'billing'" in run_command("server-keys", "list", environ=environ).out
    unknown = run_command("server-keys", "revoke", "0" * 16, environ=environ)
    assert (unknown.status, unknown.err.strip()) == (1, f"there is no server key with the id {'0' * 16}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("x", "--scopes", "emit,fly"),
        ("x", "--scopes", ""),
        ("", "--scopes", "emit"),
        ("x", "--scopes", "emit", "--expires-days", "0"),
    ],
)
def test_a_wrong_command_creates_nothing(
    shared_installation: Installation, node: Node, arguments: tuple[str, ...]
) -> None:
    done = run_command("server-keys", "create", *arguments, environ=shared_installation.environ())
    assert done.status == 1
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1


def test_only_a_hash_is_stored(shared_installation: Installation, every_scope: str) -> None:
    assert every_scope.split("_")[2] not in str(stored(shared_installation, every_scope))


# Administrators --------------------------------------------------------------------------------------------


async def test_an_admin_creates_lists_and_revokes(admin: Login, node: Node, http: aiohttp.ClientSession) -> None:
    key_id, text = await new_key(admin, "revocations", expiresInDays=7)
    assert (await Backend(node.url, text, http).call("POST", "/introspect", NO_TOKEN)).status == 200
    listed = (await admin.call("GET", "/admin/server-keys")).data["serverKeys"]
    (shown,) = [each for each in listed if each["id"] == key_id]
    assert (shown["name"], shown["scopes"], shown["revokedAt"]) == ("shop", ["revocations"], None)
    assert shown["lastUsedAt"] is not None
    assert text not in str(listed)
    assert (await admin.call("DELETE", f"/admin/server-keys/{key_id}")).status == 200
    assert (await admin.call("DELETE", f"/admin/server-keys/{key_id}")).status == 200
    assert (await admin.call("DELETE", f"/admin/server-keys/{'0' * 16}")).code == "not_found"
    events = (await admin.call("GET", f"/admin/audit?userId={admin.data['user']['userId']}")).data["events"]
    kinds = [event["kind"] for event in events if event["details"].get("key") == key_id]
    assert kinds == ["admin_server_key_revoked", "admin_server_key_revoked", "admin_server_key_created"]


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": []}, {"scopes": ["fly"]}, {"scopes": ["emit"] * 7}, {"scopes": "emit"}, {"scopes": [1]},
        {"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": "a\u202eb"}, {"name": None},
        {"expiresInDays": 0}, {"expiresInDays": 3651}, {"expiresInDays": "1"}, {"secret": "mine"},
    ],
)  # fmt: skip
async def test_a_wrong_request_creates_nothing(admin: Login, change: dict[str, Any]) -> None:
    answer = await admin.call("POST", "/admin/server-keys", {"name": "x", "scopes": ["emit"]} | change)
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_key_needs_an_admin_with_a_recent_proof(
    admin: Login, api: Api, shared_installation: Installation
) -> None:
    user = await api.login(await api.register())
    for method, path, body in (
        ("GET", "/admin/server-keys", None),
        ("POST", "/admin/server-keys", {"name": "x", "scopes": ["emit"]}),
        ("DELETE", f"/admin/server-keys/{'0' * 16}", None),
    ):
        assert (await user.call(method, path, body)).code == "forbidden"
    sessions = mongo_client(shared_installation.services.mongo)[shared_installation.name]["sessions"]
    (session,) = sessions.find({"_id": admin.session_id})
    earlier = session["loggedInAt"].replace(year=2020)
    sessions.update_one({"_id": admin.session_id}, {"$set": {"loggedInAt": earlier}})
    created = await admin.call("POST", "/admin/server-keys", {"name": "x", "scopes": ["emit"]})
    assert (created.status, created.code) == (401, "step_up_required")
    assert (await admin.call("DELETE", f"/admin/server-keys/{'0' * 16}")).code == "step_up_required"


# Backends --------------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_at_once_on_every_node(
    admin: Login, shared_nodes: tuple[Node, Node], http: aiohttp.ClientSession
) -> None:
    key_id, text = await new_key(admin, "revocations")
    backends = [Backend(node.url, text, http) for node in shared_nodes]
    for each in backends * 2:
        assert (await each.call("POST", "/introspect", NO_TOKEN)).status == 200
    assert (await admin.call("DELETE", f"/admin/server-keys/{key_id}")).status == 200
    for each in backends:
        answer = await each.call("POST", "/introspect", NO_TOKEN)
        assert (answer.status, answer.code) == (401, "invalid_token")
        assert answer.body["message"] == "This server key was revoked."


async def test_an_expired_key_says_so(
    every_scope: str, shared_installation: Installation, node: Node, http: aiohttp.ClientSession
) -> None:
    text = create_key(shared_installation, "revocations", days=1)
    keys = mongo_client(shared_installation.services.mongo)[shared_installation.name]["server_keys"]
    document = stored(shared_installation, text)
    keys.update_one({"_id": document["_id"]}, {"$set": {"expiresAt": document["createdAt"]}})
    answer = await Backend(node.url, text, http).call("POST", "/introspect", NO_TOKEN)
    assert (answer.status, answer.code) == (401, "token_expired")


@pytest.mark.parametrize("scope", ["emit", "presence", "sessions", "users", "events"])
async def test_a_key_without_the_scope_is_forbidden_and_that_is_recorded(
    admin: Login, node: Node, http: aiohttp.ClientSession, scope: str
) -> None:
    key_id, text = await new_key(admin, scope)
    answer = await Backend(node.url, text, http).call("POST", "/introspect", NO_TOKEN)
    assert (answer.status, answer.code) == (403, "forbidden")
    denied = (await admin.call("GET", "/admin/audit?kind=access_denied")).data["events"]
    assert key_id in [event["details"].get("key") for event in denied]


@pytest.mark.parametrize(
    "text",
    ["vsk_", "vsk__", "x", f"vsk_{0:016}_{0:064}", f"vsk_{0:016}_{0:063}", "vsk_" + "0" * 5000],
)
async def test_what_is_no_key_is_refused(backend: Backend, text: str) -> None:
    backend.key = text
    answer = await backend.call("POST", "/introspect", NO_TOKEN)
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_the_id_of_a_key_with_another_secret_is_no_key(backend: Backend, every_scope: str) -> None:
    for wrong in ("0" * 64, every_scope[-64:-1] + ("0" if every_scope[-1] != "0" else "1")):
        backend.key = every_scope[:-64] + wrong
        assert (await backend.call("POST", "/introspect", NO_TOKEN)).code == "invalid_token"


async def test_tokens_of_users_and_keys_of_servers_are_not_taken_for_each_other(
    backend: Backend, api: Api, every_scope: str
) -> None:
    login = await api.login(await api.register())
    assert (await api.call("GET", "/me", token=every_scope)).code == "invalid_token"
    backend.key = login.access_token
    assert (await backend.call("POST", "/introspect", NO_TOKEN)).code == "invalid_token"
    backend.key = None
    missing = await backend.call("POST", "/introspect", NO_TOKEN)
    assert (missing.status, missing.code) == (401, "missing_token")


async def test_the_use_of_a_writing_scope_is_in_the_audit_trail_whatever_became_of_it(
    admin: Login, backend: Backend, every_scope: str
) -> None:
    user_id = admin.data["user"]["userId"]
    assert (await backend.call("GET", f"/users/{user_id}/sessions")).status == 200
    assert (await backend.call("GET", "/users/nobody/sessions")).status == 404
    used = (await admin.call("GET", "/admin/audit?kind=server_key_used")).data["events"]
    mine = [event["details"] for event in used if event["details"]["key"] == every_scope.split("_")[1]][:2]
    assert [(each["act"], each["outcome"], each["userId"]) for each in mine] == [
        ("GET /users/{userId}/sessions", "not_found", "nobody"),
        ("GET /users/{userId}/sessions", "ok", user_id),
    ]


async def test_no_secret_of_a_key_is_logged(backend: Backend, every_scope: str, node: Node) -> None:
    await backend.call("GET", "/users/nobody/sessions")
    await backend.call("POST", "/introspect", {"wrong": every_scope})
    await node.logged(f'"server_key":"{every_scope.split("_")[1]}"', '"status":400')
    assert every_scope.split("_")[2] not in node.text()


async def test_a_key_has_a_limit_of_its_own_and_refused_keys_count_against_their_address(
    installation: Installation, start_node: Any, http: aiohttp.ClientSession
) -> None:
    node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SERVER="3/hour", VIGIL_LIMIT_API="2/hour")
    one, other = (Backend(node.url, create_key(installation, "revocations"), http) for _ in range(2))
    answers = await asyncio.gather(*(one.call("POST", "/introspect", NO_TOKEN) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 429, 429]
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 429)
    stranger = Backend(node.url, "vsk_" + "0" * 16 + "_" + "0" * 64, http)
    missing = Backend(node.url, None, http)
    refused = [(await each.call("POST", "/introspect", NO_TOKEN)).status for each in (missing, stranger, missing)]
    assert refused == [401, 401, 429]
    assert (await other.call("POST", "/introspect", NO_TOKEN)).status == 200
    # A flood does not reach MongoDB: not even a right key is looked up, unless it was accepted before.
    for _ in range(8):
        await stranger.call("POST", "/introspect", NO_TOKEN)
    new = Backend(node.url, create_key(installation, "revocations"), http)
    assert (await new.call("POST", "/introspect", NO_TOKEN)).status == 429
    assert (await other.call("POST", "/introspect", NO_TOKEN)).status == 200
