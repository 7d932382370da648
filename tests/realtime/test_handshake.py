"""Who is let in, who is not, and what either is told."""

import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest
from support.clients import ORIGIN, Api, Refused
from support.nodes import Node
from support.raw_socket import Polling, RawSocket

ACCESS_COOKIE = "__Host-vigil_access"


async def refusal(connect: Any, *where: Any, **options: Any) -> Any:
    with pytest.raises(Refused) as refused:
        await connect(*where, **options)
    return refused.value.data


async def test_a_refresh_token_opens_no_socket(node: Node, connect: Any, standing: Any) -> None:
    assert (await refusal(connect, node, standing.refresh_token))["code"] == "invalid_token"


async def test_a_revoked_sessions_token_is_refused_on_every_node_at_once(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    assert (await login.call("POST", "/logout", {})).status == 200
    for where in (first, second):
        assert await refusal(connect, where, login.access_token) == {"code": "session_revoked", "retryable": False}


async def test_a_token_signed_on_one_node_opens_a_socket_on_the_other(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    live = await connect(second, login.access_token)
    assert live.ready["sessionId"] == login.session_id


@pytest.mark.parametrize(
    "auth",
    [
        "token",
        ["token"],
        True,
        {"token": 17},
        {"token": ["x"]},
        {"token": {"x": 1}},
        {"token": True},
        {"token": "a\u0000b"},
        {"token": "x", "lastEventId": "one"},
        {"token": "x", "lastEventId": 1.5},
        {"token": "x", "lastEventId": -1},
        {"token": "x", "lastEventId": True},
        {"token": "x", "lastEventId": [17]},
        {"token": "x", "lastEventId": 2**53},
        {"token": "x", "lastEventId": 10**30},
    ],
)
async def test_a_handshake_of_wrong_form_is_refused_as_invalid(node: Node, auth: Any) -> None:
    async with RawSocket.open(node.url) as raw:
        answer = await raw.connect(auth)
    assert (answer.kind, answer.data["data"]) == ("4", {"code": "invalid_request", "retryable": False})
    assert isinstance(answer.data["message"], str)
    assert "pydantic" not in str(answer.data)


async def test_a_refused_peer_may_try_again_on_its_connection(node: Node, standing: Any) -> None:
    async with RawSocket.open(node.url) as raw:
        assert (await raw.connect({"token": "x"})).kind == "4"
        assert (await raw.connect()).data["data"]["code"] == "missing_token"
        assert (await raw.connect({"token": standing.access_token})).kind == "0"
        assert (await raw.ask("sessions-list", {}))["ok"] is True


@pytest.mark.parametrize("cursor", ["1", 1.0, "1.0"])
async def test_a_map_of_texts_and_keys_of_a_librarys_own_are_no_hindrance(
    node: Node, standing: Any, cursor: Any
) -> None:
    """socket.io-client-java sends texts; the JavaScript client adds `pid` and `offset` by itself."""
    async with RawSocket.open(node.url) as raw:
        own = {"pid": "an-id", "offset": "1-0", "__proto__": {"admin": True}}
        assert (await raw.connect({"token": standing.access_token, "lastEventId": cursor, **own})).kind == "0"


async def test_null_stands_for_an_absent_field(node: Node, standing: Any) -> None:
    async with RawSocket.open(node.url) as raw:
        assert (await raw.connect({"token": standing.access_token, "lastEventId": None})).kind == "0"
    async with RawSocket.open(node.url) as raw:
        assert (await raw.connect({"token": None})).data["data"]["code"] == "missing_token"


class TestByCookie:
    """The access cookie opens a socket from an allowed origin only."""

    @pytest.fixture
    async def cookie(self, api: Api) -> str:
        await api.login(await api.register(), delivery="cookies")
        return f"{ACCESS_COOKIE}={api.cookies[ACCESS_COOKIE]}"

    async def test_from_an_allowed_origin_it_is_enough(self, shared_nodes: Any, cookie: str) -> None:
        for where in shared_nodes:
            async with RawSocket.open(where.url, headers={"Cookie": cookie, "Origin": ORIGIN}) as raw:
                assert (await raw.connect()).kind == "0"
                listed = await raw.ask("sessions-list", {})
                assert [session["isCurrent"] for session in listed["sessions"]] == [True]

    @pytest.mark.parametrize(
        "origin",
        [
            None,
            "null",
            "https://evil.example",
            "http://127.0.0.1:8001",
            "https://127.0.0.1:8000",
            "http://127.0.0.1:8000.evil.example",
            "",
        ],
    )
    async def test_from_elsewhere_it_is_not(self, node: Node, cookie: str, origin: str | None) -> None:
        headers = {"Cookie": cookie} | ({} if origin is None else {"Origin": origin})
        async with RawSocket.open(node.url, headers=headers) as raw:
            answer = await raw.connect()
        assert (answer.kind, answer.data["data"]) == ("4", {"code": "origin_not_allowed", "retryable": False})

    async def test_a_token_in_the_handshake_comes_before_the_cookie(self, node: Node, cookie: str) -> None:
        async with RawSocket.open(node.url, headers={"Cookie": cookie, "Origin": ORIGIN}) as raw:
            assert (await raw.connect({"token": "x"})).data["data"]["code"] == "invalid_token"

    async def test_a_cookie_that_is_no_token_is_refused(self, node: Node) -> None:
        async with RawSocket.open(node.url, headers={"Cookie": f"{ACCESS_COOKIE}=x", "Origin": ORIGIN}) as raw:
            assert (await raw.connect()).data["data"]["code"] == "invalid_token"

    async def test_an_empty_cookie_is_none(self, node: Node) -> None:
        async with RawSocket.open(node.url, headers={"Cookie": f"{ACCESS_COOKIE}=", "Origin": ORIGIN}) as raw:
            assert (await raw.connect()).data["data"]["code"] == "missing_token"


class TestOrigin:
    """Where an origin is named it must be an allowed one, whatever else is presented."""

    async def test_a_foreign_page_is_refused_even_with_a_good_token(
        self, node: Node, connect: Any, standing: Any
    ) -> None:
        refused = await refusal(connect, node, standing.access_token, headers={"Origin": "https://evil.example"})
        assert refused == {"code": "origin_not_allowed", "retryable": False}

    async def test_our_own_page_is_let_in_by_token(self, node: Node, connect: Any, standing: Any) -> None:
        live = await connect(node, standing.access_token, headers={"Origin": ORIGIN})
        assert live.ready["sessionId"] == standing.session_id

    async def test_polling_answers_allow_no_other_page_to_read_them(
        self, node: Node, http: aiohttp.ClientSession
    ) -> None:
        headers = {"Origin": "https://evil.example"}
        async with http.get(node.url + "/socket.io/?EIO=4&transport=polling", headers=headers) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["Vary"] == "Origin"

    @pytest.mark.parametrize(
        ("method", "query", "status"),
        [
            ("GET", "EIO=4&transport=polling", 200),
            ("GET", "EIO=3&transport=polling", 400),
            ("GET", "EIO=4&transport=polling&sid=gone", 400),
            ("POST", "EIO=4&transport=polling&sid=gone", 400),
            ("OPTIONS", "EIO=4&transport=polling", 204),
        ],
    )
    async def test_an_allowed_page_may_read_every_answer_to_a_poll(
        self, node: Node, http: aiohttp.ClientSession, method: Any, query: Any, status: Any
    ) -> None:
        headers = {"Origin": ORIGIN.upper(), "Access-Control-Request-Headers": "content-type,x-own"}
        async with http.request(method, f"{node.url}/socket.io/?{query}", headers=headers) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN.upper()
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert answer.headers["Vary"] == "Origin"
            if method == "OPTIONS":
                assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-own"
                assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"


class TestTransports:
    """Both transports, and the way from one to the other."""

    async def test_the_path_needs_no_slash_at_its_end(self, node: Node, http: aiohttp.ClientSession) -> None:
        """Clients can leave it out (`addTrailingSlash`), and proxies take it away."""
        url = f"{node.url}/socket.io?EIO=4&transport="
        async with http.get(url + "polling") as answer:
            assert (answer.status, (await answer.text())[:7]) == (200, '0{"sid"')
        async with http.ws_connect(url + "websocket") as websocket:
            assert (await websocket.receive_str())[:7] == '0{"sid"'

    @pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
    async def test_each_transport_serves_alike(
        self, shared_nodes: Any, connect: Any, log_in: Any, transports: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token, transports=transports)
        assert live.heard[0][0] == "ready"
        assert live.ready["recovered"] is False
        assert live.client.transport() == transports[-1]
        assert (await live.ask("sessions-list"))["ok"] is True
        other = await log_in(first, login.data["user"]["email"])
        created = await live.wait("sessions-changed", lambda e: e["session"]["sessionId"] == other.session_id)
        assert created["change"] == "created"
        ended = await other.call("DELETE", f"/sessions/{login.session_id}")
        assert ended.data["delivery"]["acknowledged"] == 1
        assert (await live.wait("session-revoked"))["by"] == {"kind": "user", "sessionId": other.session_id}
        await live.until_gone()

    async def test_a_polling_peer_still_gets_the_last_words(
        self, node: Node, log_in: Any, http: aiohttp.ClientSession
    ) -> None:
        """The ack of ending oneself is queued when the connection closes, while no poll may be waiting."""
        login = await log_in(node)
        polling = await Polling.open(node.url, http)
        await polling.send("40" + json.dumps({"token": login.access_token}))
        await polling.until("ready")
        await polling.send("421" + json.dumps(["session-revoke", {"sessionId": login.session_id}]))
        revoked = await polling.until("session-revoked")
        ack_id = re.search(r'42(\d+)\["session-revoked"', revoked)
        assert ack_id is not None
        await polling.send(f"43{ack_id[1]}[]")
        # Likely the server says all it has to say before anybody polls again; it must be right either way.
        await asyncio.sleep(0.5)
        last = await polling.rest()
        assert '431[{"ok":true,"delivery":{' in last
        assert last.endswith("41\x1e1")

    async def test_a_polling_handshake_is_refused_with_the_same_words(self, node: Node, connect: Any) -> None:
        refused = await refusal(connect, node, "x", transports=("polling",))
        assert refused == {"code": "invalid_token", "retryable": False}


async def test_the_ready_event_is_complete(node: Node, connect: Any, log_in: Any) -> None:
    login = await log_in(node)
    live = await connect(node, login.access_token)
    assert live.ready.keys() == {
        "protocol",
        "userId",
        "sessionId",
        "socketId",
        "accessTokenExpiresAt",
        "graceMs",
        "serverTime",
        "lastEventId",
        "recovered",
    }
    assert live.ready["socketId"] == live.client.get_sid()
    assert isinstance(live.ready["lastEventId"], int)
    assert live.ready["serverTime"].endswith("Z")


async def test_a_socket_confirms_its_generation(node: Node, connect: Any, log_in: Any) -> None:
    """After the socket proved receipt, a replayed refresh token is a race or a theft, not a lost answer."""
    login = await log_in(node)
    old = login.refresh_token
    await login.refresh()
    again = await login.api.call("POST", "/refresh", {"refreshToken": old})
    assert again.data["outcome"] == "replayed"
    await connect(node, again.data["accessToken"])
    again = await login.api.call("POST", "/refresh", {"refreshToken": old})
    assert again.data["outcome"] == "concurrent"
