"""A socket and its token: the warning, the end, the grace, and the way on without a reconnect."""

import asyncio
import functools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.clients import Live, Login, Refused
from support.nodes import Node
from support.stock import StockClient

# As in conftest.py.
BRIEF_LIFE, BRIEF_GRACE = 4, 2

# A token's own, for clocks that differ.
LEEWAY = timedelta(seconds=5)
# Timers may be this early, and a busy machine this late.
EARLY = timedelta(milliseconds=50)
LATE = timedelta(seconds=2)


# The long one of the stories: a message each 200 ms.
SOAK_SECONDS, EVERY = 25, 0.2
MESSAGES = int(SOAK_SECONDS / EVERY)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Clocked:
    """Notes when a socket hears what."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def wait(self, event: str) -> tuple[Any, datetime]:
        payload = await self._live.wait(event, timeout=30)
        return payload, datetime.now(UTC)


@pytest.mark.timeout(120)
async def test_what_the_end_of_a_token_means(brief_nodes: Any, connect: Any, log_in: Any) -> None:
    """Five stories, told at once because each takes a token's life or more."""
    await asyncio.gather(
        a_socket_outlives_its_tokens_and_every_message_comes_once_in_order(brief_nodes, connect, log_in),
        a_socket_whose_token_is_not_renewed_is_warned_then_expired_then_closed(brief_nodes, connect, log_in),
        a_socket_is_brought_back_in_its_grace(brief_nodes, connect, log_in, by_a_token_fetched_over_http),
        a_socket_is_brought_back_in_its_grace(brief_nodes, connect, log_in, by_a_refresh_on_the_socket),
        after_its_leeway_a_token_opens_no_socket(brief_nodes, connect, log_in),
        a_stock_client_whose_grace_is_over_comes_back_with_a_fresh_token(brief_nodes, log_in, "polling"),
        a_stock_client_whose_grace_is_over_comes_back_with_a_fresh_token(brief_nodes, log_in, "websocket"),
    )


async def a_socket_outlives_its_tokens_and_every_message_comes_once_in_order(
    brief_nodes: Any, connect: Any, log_in: Any
) -> None:
    """Tokens of four seconds, a message each 200 ms across two nodes, both ends re-authenticated in place."""
    first, second = brief_nodes
    ada, ben = await log_in(first), await log_in(second)
    speaking = await connect(first, ada.access_token, also=("chat:message",))
    hearing = await connect(second, ben.access_token, also=("chat:message",))
    for live in (speaking, hearing):
        assert (await live.ask("chat:join"))["ok"] is True
    over = asyncio.Event()
    keeping = [
        asyncio.create_task(keep_alive(speaking, ada, over, by_http=True)),
        asyncio.create_task(keep_alive(hearing, ben, over, by_http=False)),
    ]

    mark = ada.session_id
    clock = asyncio.get_running_loop().time
    begin = clock()
    for number in range(MESSAGES):
        ack = await speaking.ask("chat:send", {"text": f"{mark} {number}"}, timeout=30)
        assert ack["ok"] is True, ack
        await asyncio.sleep(max(begin + EVERY * (number + 1) - clock(), 0))
    await hearing.wait("chat:message", lambda message: message["text"] == f"{mark} {MESSAGES - 1}")
    over.set()
    renewals = await asyncio.gather(*keeping)

    for live in (speaking, hearing):
        texts = [m["text"] for m in live.all("chat:message") if m["text"].startswith(mark)]
        assert texts == [f"{mark} {number}" for number in range(MESSAGES)]
        names = [name for name, _ in live.heard]
        assert names.count("ready") == 1
        assert "token-expired" not in names
        assert live.client.get_sid() == live.ready["socketId"]
        assert not live.gone.is_set()
    assert all(times >= SOAK_SECONDS / BRIEF_LIFE - 1 for times in renewals), renewals


def tells_of(ends: str, warning: Any) -> bool:
    return bool(warning["expiresAt"] == ends)


async def keep_alive(live: Live, login: Login, over: asyncio.Event, *, by_http: bool) -> int:
    """Answer each `token-expiring` with a new token; how often that was."""
    times = 0
    while not over.is_set():
        ends = login.data["accessTokenExpiresAt"]
        warned = asyncio.create_task(live.wait("token-expiring", functools.partial(tells_of, ends), timeout=20))
        ending = asyncio.create_task(over.wait())
        await asyncio.wait({warned, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not warned.done():
            warned.cancel()
            break
        await warned
        if by_http:
            assert (await login.refresh()).status == 200
            ack = await live.ask("reauthenticate", {"token": login.access_token})
        else:
            ack = await live.ask("refresh", {"refreshToken": login.refresh_token})
            login.data |= ack
        assert ack["ok"] is True, ack
        times += 1
    return times


async def a_socket_whose_token_is_not_renewed_is_warned_then_expired_then_closed(
    brief_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = brief_nodes
    login = await log_in(first)
    live = await connect(second, login.access_token)
    clocked = Clocked(live)
    assert live.ready["graceMs"] == BRIEF_GRACE * 1000
    expires_at = moment(live.ready["accessTokenExpiresAt"])
    assert (await live.ask("chat:join"))["ok"] is True

    warning, at = await clocked.wait("token-expiring")
    assert moment(warning["expiresAt"]) == expires_at
    assert warning["graceMs"] == BRIEF_GRACE * 1000
    lead = timedelta(seconds=BRIEF_LIFE * 0.2)  # a fifth of the life, which is less than the setting's 60 s
    assert expires_at - lead - EARLY <= at <= expires_at - lead * 0.75 + LATE
    remaining = timedelta(milliseconds=warning["expiresInMs"])
    assert timedelta() <= remaining <= lead + EARLY
    # It still is what it was until then.
    assert (await live.ask("chat:send", {"text": "in time"}))["ok"] in {True, False}

    expired, at = await clocked.wait("token-expired")
    assert moment(expired["graceEndsAt"]) == expires_at + timedelta(seconds=BRIEF_GRACE)
    assert expires_at - EARLY <= at <= expires_at + LATE
    for event, payload in (
        ("sessions-list", {}),
        ("session-revoke", {"sessionId": login.session_id}),
        ("sessions-revoke-others", {}),
        ("chat:send", {"text": "too late"}),
        ("chat:join", {}),
        ("nonsense", {}),
    ):
        ack = await live.ask(event, payload)
        assert (ack["ok"], ack["code"]) == (False, "token_expired"), event
    # These two are served: refused for what was sent, not for the time.
    assert (await live.ask("reauthenticate", {"token": "x"}))["code"] == "invalid_token"
    assert (await live.ask("refresh", {"refreshToken": "x"}))["code"] == "invalid_token"

    await live.until_gone(timeout=BRIEF_GRACE + 5)
    assert datetime.now(UTC) >= expires_at + timedelta(seconds=BRIEF_GRACE) - EARLY
    names = [name for name, _ in live.heard]
    assert names.count("token-expiring") == names.count("token-expired") == 1
    assert "session-revoked" not in names


async def by_a_token_fetched_over_http(login: Login, live: Live) -> None:
    assert (await login.refresh()).status == 200
    ack = await live.ask("reauthenticate", {"token": login.access_token})
    assert ack == {"ok": True, "accessTokenExpiresAt": login.data["accessTokenExpiresAt"]}


async def by_a_refresh_on_the_socket(login: Login, live: Live) -> None:
    ack = await live.ask("refresh", {"refreshToken": login.refresh_token})
    assert (ack["ok"], ack["outcome"]) == (True, "rotated")
    login.data |= ack


async def a_socket_is_brought_back_in_its_grace(brief_nodes: Any, connect: Any, log_in: Any, renew: Any) -> None:
    first, second = brief_nodes
    login = await log_in(first)
    live = await connect(second, login.access_token, also=("chat:message",))
    other = await connect(first, login.access_token)
    assert (await live.ask("chat:join"))["ok"] is True
    await live.wait("token-expired", timeout=30)
    await renew(login, live)
    # Served again, in its room, under its old id, and warned anew before the new end.
    text = f"back by {renew.__name__}"
    assert (await live.ask("chat:send", {"text": text}))["ok"] is True
    await live.wait("chat:message", lambda message: message["text"] == text)
    assert live.client.get_sid() == live.ready["socketId"]
    ends = login.data["accessTokenExpiresAt"]
    await live.wait("token-expiring", lambda warning: warning["expiresAt"] == ends, timeout=30)
    assert len(live.all("ready")) == 1
    assert not live.gone.is_set()
    # The other tab has a token and a grace of its own.
    await other.until_gone(timeout=30)


async def a_stock_client_whose_grace_is_over_comes_back_with_a_fresh_token(
    brief_nodes: Any, log_in: Any, transport: str
) -> None:
    first, _ = brief_nodes
    login = await log_in(first)

    async def fresh() -> dict[str, str]:
        if stock:
            assert (await login.refresh()).status == 200
        return {"token": login.access_token}

    stock: list[StockClient] = []
    stock.append(await StockClient.connect(first.url, fresh, transport))
    await stock[0].until_sockets(2)
    assert len(set(stock[0].sockets)) == 2
    await stock[0].client.shutdown()


async def after_its_leeway_a_token_opens_no_socket(brief_nodes: Any, connect: Any, log_in: Any) -> None:
    first, second = brief_nodes
    login = await log_in(first)
    await until(moment(login.data["accessTokenExpiresAt"]))
    # Clocks differ a little, so it still opens one; but that one's token is at its end at once.
    live = await connect(second, login.access_token)
    await live.wait("token-expired")
    assert [name for name, _ in live.heard][:3] == ["ready", "token-expiring", "token-expired"]
    assert live.all("token-expiring")[0]["expiresInMs"] == 0
    assert (await live.ask("sessions-list"))["code"] == "token_expired"
    await until(moment(login.data["accessTokenExpiresAt"]) + LEEWAY)
    for where in (first, second):
        with pytest.raises(Refused) as refused:
            await connect(where, login.access_token)
        assert refused.value.data == {"code": "token_expired", "retryable": False}
    assert (await login.refresh()).status == 200
    assert (await connect(second, login.access_token)).ready["sessionId"] == login.session_id


async def until(when: datetime) -> None:
    await asyncio.sleep((when - datetime.now(UTC)).total_seconds() + 0.05)


class TestReauthenticate:
    """Only a good token of the same user and the same session renews a socket."""

    async def test_it_keeps_the_socket_its_rooms_and_the_order_of_its_events(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token, also=("chat:message",))
        await live.ask("chat:join")
        acks: list[Any] = []

        async def note(event: str, payload: Any) -> None:
            acks.append(await live.ask(event, payload))

        # One after the other on the wire, none awaited: served and answered in that order all the same.
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(note("chat:send", {"text": f"{login.session_id} {number}"})))
            await login.refresh()
            tasks.append(asyncio.create_task(note("reauthenticate", {"token": login.access_token})))
        await asyncio.gather(*tasks)
        kinds = ["messageId" if "messageId" in ack else "accessTokenExpiresAt" for ack in acks]
        assert kinds == ["messageId", "accessTokenExpiresAt"] * 10
        await live.wait("chat:message", lambda message: message["text"] == f"{login.session_id} 9")
        mine = [m["text"] for m in live.all("chat:message") if login.session_id in m["text"]]
        assert mine == [f"{login.session_id} {number}" for number in range(10)]
        assert len(live.all("ready")) == 1
        assert live.client.get_sid() == live.ready["socketId"]

    async def test_another_users_token_is_forbidden(self, shared_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = shared_nodes
        login, stranger = await log_in(first), await log_in(first)
        live = await connect(second, login.access_token)
        ack = await live.ask("reauthenticate", {"token": stranger.access_token})
        assert (ack["ok"], ack["code"]) == (False, "forbidden")
        listed = await live.ask("sessions-list")
        assert [session["sessionId"] for session in listed["sessions"]] == [login.session_id]

    async def test_the_token_of_another_session_of_the_same_user_is_forbidden(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        other = await log_in(first, login.data["user"]["email"])
        live = await connect(second, login.access_token)
        assert (await live.ask("reauthenticate", {"token": other.access_token}))["code"] == "forbidden"

    async def test_a_refresh_token_is_no_access_token(self, node: Node, connect: Any, log_in: Any) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        assert (await live.ask("reauthenticate", {"token": login.refresh_token}))["code"] == "invalid_token"
        assert (await live.ask("sessions-list"))["ok"] is True

    async def test_it_confirms_the_generation(self, node: Node, connect: Any, log_in: Any) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        old = login.refresh_token
        await login.refresh()
        assert (await live.ask("reauthenticate", {"token": login.access_token}))["ok"] is True
        again = await login.api.call("POST", "/refresh", {"refreshToken": old})
        assert again.data["outcome"] == "concurrent"

    async def test_no_token_brings_a_revoked_session_back(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token, acknowledge=False)
        await login.refresh()
        assert (await login.call("POST", "/logout", {})).status == 200
        await live.wait("session-revoked")
        # The socket is still open for a second, for its ack; it serves nothing.
        for event, payload in (
            ("reauthenticate", {"token": login.access_token}),
            ("refresh", {"refreshToken": login.refresh_token}),
            ("sessions-list", {}),
            ("chat:join", {}),
        ):
            ack = await live.ask(event, payload)
            assert (ack["ok"], ack["code"]) == (False, "session_revoked"), event
        await live.until_gone()


class TestRefreshOnTheSocket:
    """POST /refresh by another way, and the socket is renewed with what it hands out."""

    async def test_it_hands_out_what_the_http_call_hands_out(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token)
        ack = await live.ask("refresh", {"refreshToken": login.refresh_token})
        over_http = await login.api.call("POST", "/refresh", {"refreshToken": ack["refreshToken"]})
        assert ack.keys() == {"ok", *over_http.data.keys()}
        assert (ack["ok"], ack["outcome"]) == (True, "rotated")
        assert ack["accessToken"] != login.access_token
        assert (await first_me(login, ack["accessToken"])).status == 200

    async def test_a_lost_answer_is_handed_out_again(self, node: Node, connect: Any, log_in: Any) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        once = await live.ask("refresh", {"refreshToken": login.refresh_token})
        again = await live.ask("refresh", {"refreshToken": login.refresh_token})
        # The socket's pong may have told by then that the answer was not lost: then it is a race of two tabs.
        assert (again["ok"], again["outcome"]) in {(True, "replayed"), (True, "concurrent")}
        assert again["refreshToken"] == once["refreshToken"]

    async def test_others_tokens_are_forbidden_and_stay_unused(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login, stranger = await log_in(first), await log_in(first)
        sibling = await log_in(first, login.data["user"]["email"])
        live = await connect(second, login.access_token)
        for other in (stranger, sibling):
            ack = await live.ask("refresh", {"refreshToken": other.refresh_token})
            assert (ack["ok"], ack["code"]) == (False, "forbidden")
            assert (await other.refresh()).data["outcome"] == "rotated"

    async def test_a_stolen_token_ends_every_session(self, shared_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token)
        other = await connect(first, (await log_in(first, login.data["user"]["email"])).access_token)
        stolen = login.refresh_token
        for _ in range(2):
            await login.refresh()
        # Its own socket is ended as well, perhaps before the answer.
        await live.client.emit("refresh", {"refreshToken": stolen})
        for socket in (live, other):
            revoked = await socket.wait("session-revoked")
            assert (revoked["reason"], revoked["by"]) == ("refresh_reused", {"kind": "system"})
            await socket.until_gone()

    async def test_what_is_no_refresh_token_is_refused(self, node: Node, connect: Any, log_in: Any) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        for text in ("x", login.access_token, login.refresh_token[:-1], login.refresh_token + "A"):
            assert (await live.ask("refresh", {"refreshToken": text}))["code"] == "invalid_token"


async def first_me(login: Login, access_token: str) -> Any:
    return await login.api.call("GET", "/me", token=access_token)
