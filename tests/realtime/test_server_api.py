"""The server API beside live sockets, over two nodes: introspection, presence, sessions, disconnects, accounts."""

import asyncio
import secrets
from typing import Any

import aiohttp
import jwt
import pytest
from argon2 import PasswordHasher
from support.backends import Backend, create_key
from support.clients import PASSWORD, Answer, Api
from support.nodes import Installation, Node
from support.waiting import eventually

SCOPES = ("emit", "presence", "sessions", "users", "revocations")


@pytest.fixture(scope="module")
def key(shared_installation: Installation, node: Node) -> str:
    """A key with every scope that is used here."""
    return create_key(shared_installation, *SCOPES)


@pytest.fixture
def backend(key: str, node: Node, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first shared node."""
    return Backend(node.url, key, http)


def new_email() -> str:
    return f"backend-{secrets.token_hex(6)}@example.org"


def by_basic(key: str | None) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth("a backend", key or "")}


async def introspected(backend: Backend, form: Any, headers: dict[str, str]) -> Answer:
    """Introspect as a client of OAuth does."""
    async with backend.http.post(f"{backend.url}/api/server/introspect", data=form, headers=headers) as answer:
        return Answer(answer.status, await answer.json(), answer.headers)


class TestIntrospection:
    """A token is described as it stands now."""

    async def test_a_token_in_force_is_active_until_its_session_ends(
        self, backend: Backend, shared_nodes: tuple[Node, Node], log_in: Any
    ) -> None:
        login = await log_in(shared_nodes[0])
        found = (await backend.call("POST", "/introspect", {"token": login.access_token})).data
        assert found.pop("exp") > 1_700_000_000
        assert found == {"active": True, "userId": login.user_id, "sessionId": login.session_id, "roles": []}
        await login.call("POST", "/logout")
        for node in shared_nodes:
            answer = await backend.at(node.url).call("POST", "/introspect", {"token": login.access_token})
            assert answer.data == {"active": False}

    @pytest.mark.parametrize("token", ["x", "a.b.c", "x" * 7000, "é", "rt1.abc", "{}"])
    async def test_what_is_no_token_is_not_active(self, backend: Backend, token: str) -> None:
        assert (await backend.call("POST", "/introspect", {"token": token})).data == {"active": False}

    async def test_a_client_of_oauth_is_answered_by_rfc_7662(
        self, backend: Backend, node: Node, log_in: Any
    ) -> None:
        login = await log_in(node)
        form = {"token": login.access_token, "token_type_hint": "access_token"}
        for headers in (by_basic(backend.key), {"Authorization": f"Bearer {backend.key}"}):
            answer = await introspected(backend, form, headers)
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
            assert answer.headers["Content-Type"] == "application/json"
            claims = jwt.decode(login.access_token, options={"verify_signature": False})
            same = {name: claims[name] for name in ("sub", "sid", "iss", "aud", "iat", "exp", "roles")}
            assert answer.body == {"active": True, "token_type": "Bearer", **same}
        await login.call("POST", "/logout")
        for token in (login.access_token, login.refresh_token, "x"):
            answer = await introspected(backend, {"token": token}, by_basic(backend.key))
            assert (answer.status, answer.body) == (200, {"active": False})

    @pytest.mark.parametrize(
        ("headers", "form", "status", "error", "challenge"),
        [
            ({}, {"token": "x"}, 401, "invalid_client", "Bearer"),
            (by_basic("vsk_wrong"), {"token": "x"}, 401, "invalid_client", 'Basic realm="vigil"'),
            ({"Authorization": "Basic é"}, {"token": "x"}, 401, "invalid_client", 'Basic realm="vigil"'),
            ({"Authorization": "Bearer x"}, {"token": "x"}, 401, "invalid_token", 'Bearer error="invalid_token"'),
            (None, {}, 400, "invalid_request", None),
            (None, {"token": ""}, 400, "invalid_request", None),
            (None, [("token", "x"), ("token", "y")], 400, "invalid_request", None),
        ],
    )
    async def test_a_client_of_oauth_is_refused_by_rfc_6749(
        self, backend: Backend, headers: dict[str, str] | None, form: Any, status: int, error: str, challenge: Any
    ) -> None:
        answer = await introspected(backend, form, by_basic(backend.key) if headers is None else headers)
        assert (answer.status, answer.body["error"]) == (status, error)
        assert answer.headers.get("WWW-Authenticate") == challenge

    @pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 1}, {"token": "x", "hint": "y"}, [], None])
    async def test_a_wrong_body_is_refused(self, backend: Backend, body: Any) -> None:
        assert (await backend.call("POST", "/introspect", body)).status in {400, 415}


class TestPresence:
    """Who is online, over all nodes."""

    async def test_devices_count_over_both_nodes_and_last_seen_stays(
        self, backend: Backend, shared_nodes: tuple[Node, Node], connect: Any, log_in: Any
    ) -> None:
        one, other = [await log_in(node) for node in shared_nodes]
        email, user_id = one.data["user"]["email"], one.user_id
        second = await log_in(shared_nodes[1], email)
        lives = [
            await connect(node, login.access_token)
            for node, login in zip(shared_nodes, (one, second), strict=True)
        ]
        for node in shared_nodes:
            ids = f"{user_id},{other.user_id},nobody,{user_id}"
            users = (await backend.at(node.url).call("GET", f"/presence?userIds={ids}")).data["users"]
            assert set(users) == {user_id, other.user_id, "nobody"}
            assert (users[user_id]["online"], users[user_id]["devices"]) == (True, 2)
            assert users["nobody"] == {"online": False, "devices": 0, "lastSeenAt": None}
        cursor = lives[0].ready["lastEventId"]
        for live in lives:
            await live.close()

        async def seen() -> Any:
            user = (await backend.call("GET", f"/presence?userIds={user_id}")).data["users"][user_id]
            return None if user["online"] else user

        gone = await eventually(seen, "the user is offline", timeout=30)
        # The later of the two that have gone offline.
        back = await connect(
            shared_nodes[0], (await log_in(shared_nodes[0], email)).access_token, last_event_id=cursor
        )
        for login in (one, second):
            await back.wait(
                "device-status", lambda e, of=login: (e["sessionId"], e["online"]) == (of.session_id, False)
            )
        last = max(e["lastSeenAt"] for e in back.all("device-status") if not e["online"])
        assert gone == {"online": False, "devices": 0, "lastSeenAt": last}

    @pytest.mark.parametrize(
        "query", ["", "?userIds=", "?userIds=a,,b", "?userIds=a&userIds=b", "?ids=a", f"?userIds={'x' * 65}",
                  "?userIds=" + ",".join(["u"] * 501)],
    )  # fmt: skip
    async def test_a_wrong_question_is_refused(self, backend: Backend, query: str) -> None:
        answer = await backend.call("GET", f"/presence{query}")
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_five_hundred_are_asked_about_at_once(self, backend: Backend) -> None:
        ids = ",".join(f"{number:032x}" for number in range(500))
        users = (await backend.call("GET", f"/presence?userIds={ids}")).data["users"]
        assert len(users) == 500


class TestSessions:
    """Listed and ended, and the device is told what the backend says."""

    async def test_a_session_ends_on_another_node_with_the_reason(
        self, backend: Backend, shared_nodes: tuple[Node, Node], connect: Any, log_in: Any
    ) -> None:
        login = await log_in(shared_nodes[1])
        live = await connect(shared_nodes[1], login.access_token)
        listed = (await backend.call("GET", f"/users/{login.user_id}/sessions")).data
        assert [(each["sessionId"], each["online"]) for each in listed["sessions"]] == [(login.session_id, True)]
        path = f"/users/{login.user_id}/sessions/{login.session_id}"
        answer = await backend.call("DELETE", path, {"reason": "Your subscription has ended."})
        assert answer.data["delivery"] == {
            "sockets": 1, "notified": 1, "acknowledged": 1, "closed": 1, "pending": 0,
        }  # fmt: skip
        revoked = await live.wait("session-revoked")
        assert (revoked["reason"], revoked["by"]) == ("admin", {"kind": "admin"})
        assert revoked["message"] == "Your subscription has ended."
        await live.until_gone()
        assert (await login.call("GET", "/me")).code == "session_revoked"
        assert (await backend.call("DELETE", path)).code == "not_found"

    async def test_all_sessions_end_without_a_reason(
        self, backend: Backend, shared_nodes: tuple[Node, Node], connect: Any, log_in: Any
    ) -> None:
        login = await log_in(shared_nodes[0])
        other = await log_in(shared_nodes[1], login.data["user"]["email"])
        lives = [await connect(shared_nodes[0], each.access_token) for each in (login, other)]
        answer = (await backend.at(shared_nodes[1].url).call("DELETE", f"/users/{login.user_id}/sessions")).data
        assert (answer["revoked"], answer["delivery"]["acknowledged"]) == (2, 2)
        assert ["message" in (await live.wait("session-revoked")) for live in lives] == [False, False]

    @pytest.mark.parametrize("path", ["/users/nobody/sessions", f"/users/nobody/sessions/{'0' * 32}"])
    async def test_nobodys_sessions_are_not_found(self, backend: Backend, path: str) -> None:
        assert (await backend.call("DELETE", path)).code == "not_found"

    @pytest.mark.parametrize("body", [{"reason": ""}, {"reason": 1}, {"reason": "x" * 201}, {"why": "x"}, []])
    async def test_a_wrong_reason_ends_nothing(self, backend: Backend, node: Node, log_in: Any, body: Any) -> None:
        login = await log_in(node)
        answer = await backend.call("DELETE", f"/users/{login.user_id}/sessions", body)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert (await login.call("GET", "/me")).status == 200


class TestDisconnect:
    """Sockets are closed, sessions live on."""

    @pytest.mark.parametrize("kind", ["userId", "sessionId", "socketId"])
    async def test_the_socket_is_told_and_closed_on_another_node(
        self, backend: Backend, shared_nodes: tuple[Node, Node], connect: Any, log_in: Any, kind: str
    ) -> None:
        login = await log_in(shared_nodes[0])
        live = await connect(shared_nodes[1], login.access_token, also=("closing",))
        spared = await connect(shared_nodes[1], (await log_in(shared_nodes[0])).access_token, also=("closing",))
        names = {"userId": login.user_id, "sessionId": login.session_id, "socketId": live.ready["socketId"]}
        body = {kind: names[kind], "reason": "maintenance", "retryable": True}
        answer = await backend.call("POST", "/disconnect", body)
        # All nodes are asked about a socket; one that does not have it may report late on a busy machine.
        answer.data["delivery"].pop("incomplete", None)
        assert answer.data["delivery"] == {
            "sockets": 1, "notified": 1, "acknowledged": 1, "closed": 1, "pending": 0,
        }  # fmt: skip
        assert await live.wait("closing") == {"reason": "maintenance", "retryable": True}
        await live.until_gone()
        assert spared.all("closing") == []
        await connect(shared_nodes[0], login.access_token)

    async def test_a_session_that_has_ended_is_not_found(self, backend: Backend, node: Node, log_in: Any) -> None:
        login = await log_in(node)
        body = {"sessionId": login.session_id, "reason": "x", "retryable": False}
        nobody = (await backend.call("POST", "/disconnect", body)).data["delivery"]
        assert nobody == {"sockets": 0, "notified": 0, "acknowledged": 0, "closed": 0, "pending": 0}
        await login.call("POST", "/logout")
        assert (await backend.call("POST", "/disconnect", body)).code == "not_found"

    @pytest.mark.parametrize(
        "body",
        [
            {}, {"userId": "a"}, {"userId": "a", "reason": "x"}, {"reason": "x", "retryable": True},
            {"userId": "a", "socketId": "b", "reason": "x", "retryable": True},
            {"userId": 1, "reason": "x", "retryable": True}, {"room": "a:b", "reason": "x", "retryable": True},
            {"userId": "a", "reason": "x", "retryable": "yes"}, {"userId": "a", "reason": "", "retryable": True},
        ],
    )  # fmt: skip
    async def test_a_wrong_request_is_refused(self, backend: Backend, body: Any) -> None:
        answer = await backend.call("POST", "/disconnect", body)
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_a_repeated_disconnect_closes_each_socket_once(
        self, backend: Backend, shared_nodes: tuple[Node, Node], connect: Any, log_in: Any
    ) -> None:
        login = await log_in(shared_nodes[0])
        live = await connect(shared_nodes[0], login.access_token, also=("closing",))
        body = {"userId": login.user_id, "reason": "x", "retryable": True}
        both = await asyncio.gather(
            *(backend.at(node.url).call("POST", "/disconnect", body) for node in shared_nodes)
        )
        await live.until_gone()
        assert sum(answer.data["delivery"]["closed"] for answer in both) == 1
        assert len(live.all("closing")) == 1


class TestAccounts:
    """Provisioned, looked up and changed."""

    async def test_an_account_with_a_hash_logs_in_with_its_password_and_sees_its_metadata(
        self, backend: Backend, shared_nodes: tuple[Node, Node], http: aiohttp.ClientSession
    ) -> None:
        email = new_email()
        body = {
            "email": email,
            "emailVerified": True,
            "name": "Ada",
            "passwordHash": PasswordHasher(time_cost=3, memory_cost=12 * 1024, parallelism=4).hash(PASSWORD),
            "metadata": {"plan": "pro", "$set": {"a.b": [1.5, None, 2**70, "é\u0000"]}},
            "privateMetadata": {"crm": 17},
        }
        answer = await backend.call("POST", "/users", body)
        assert answer.status == 201, answer.body
        created = answer.data["user"]
        assert created["metadata"]["plan"] == "pro"
        assert created["metadata"]["$set"]["a.b"][3] == "é\u0000"
        assert created["privateMetadata"] == {"crm": 17}
        login = await Api(shared_nodes[1].url, http).login(email)
        me = (await login.call("GET", "/me")).data["user"]
        assert me["metadata"] == created["metadata"]
        assert "privateMetadata" not in me
        found = (await backend.call("GET", f"/users?email={email.upper()}")).data["users"]
        assert found == [created]
        again = await backend.call("POST", "/users", body)
        assert (again.status, again.code) == (409, "conflict")

    async def test_of_concurrent_requests_for_one_address_one_creates_the_account(
        self, backend: Backend, shared_nodes: tuple[Node, Node]
    ) -> None:
        body = {"email": new_email()}
        answers = await asyncio.gather(
            *(backend.at(node.url).call("POST", "/users", body) for node in shared_nodes * 3)
        )
        assert sorted(answer.status for answer in answers) == [201, *[409] * 5]

    async def test_changes_leave_what_they_do_not_name_and_null_clears(self, backend: Backend) -> None:
        body = {"email": new_email(), "name": "Ada", "metadata": {"a": 1, "b": 2}, "privateMetadata": {"c": 3}}
        user = (await backend.call("POST", "/users", body)).data["user"]
        path = f"/users/{user['userId']}"
        changed = (await backend.call("PATCH", path, {"metadata": {"a": 2}, "username": user["userId"]})).data[
            "user"
        ]
        assert changed == user | {"metadata": {"a": 2}, "username": user["userId"]}
        changed = (await backend.call("PATCH", path, {"metadata": None, "name": None})).data["user"]
        assert "metadata" not in changed
        assert (await backend.call("GET", path)).data["user"] == changed
        assert (await backend.call("GET", "/users/nobody")).code == "not_found"
        assert (changed["name"], changed["privateMetadata"]) == (None, {"c": 3})
        assert (await backend.call("PATCH", "/users/nobody", {"name": "x"})).code == "not_found"
        taken = await backend.call("POST", "/users", {"email": new_email(), "username": user["userId"].upper()})
        assert (taken.status, taken.body["errors"][0]["field"]) == (400, "username")

    async def test_an_address_that_is_not_known_is_not_found(self, backend: Backend) -> None:
        assert (await backend.call("GET", "/users?email=nobody@example.org")).data["users"] == []
        assert (await backend.call("GET", "/users?email=x")).code == "invalid_request"
        assert (await backend.call("GET", "/users")).code == "invalid_request"

    @pytest.mark.parametrize(
        "change",
        [
            {"email": "x"}, {"email": None}, {"roles": ["admin"]}, {"emailVerified": "yes"},
            {"metadata": []}, {"metadata": "x"}, {"metadata": {"a": "x" * 8200}},
            {"privateMetadata": {"a": "é" * 4100}},
            {"passwordHash": PASSWORD}, {"passwordHash": "$2b$14$" + "a" * 53},
            {"passwordHash": "$argon2id$v=19$m=9999999,t=3,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
            {"passwordHash": "$argon2id$v=19$m=65536,t=999,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
            {"passwordHash": "$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
            {"passwordHash": "$argon2id$v=19$m=7168,t=4,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
            {"passwordHash": "$argon2id$v=19$m=4096,t=16,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
            {"passwordHash": "$argon2id$v=16$m=65536,t=3,p=1$c29tZXNhbHRzb21l$" + "a" * 43},
        ],
    )  # fmt: skip
    async def test_a_wrong_account_is_refused(self, backend: Backend, change: dict[str, Any]) -> None:
        answer = await backend.call("POST", "/users", {"email": new_email()} | change)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert PASSWORD not in str(answer.body)

    async def test_metadata_nested_without_end_are_refused(
        self, backend: Backend, http: aiohttp.ClientSession
    ) -> None:
        deep = '{"a":' * 900 + "1" + "}" * 900
        raw = f'{{"email": "{new_email()}", "metadata": {deep}}}'
        headers = {"Authorization": f"Bearer {backend.key}", "Content-Type": "application/json"}
        async with http.post(f"{backend.url}/api/server/users", data=raw, headers=headers) as answer:
            assert answer.status == 400
        infinite = raw.replace(deep, '{"a": 1e999}')
        async with http.post(f"{backend.url}/api/server/users", data=infinite, headers=headers) as answer:
            assert answer.status == 400
