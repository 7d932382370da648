"""Client events to an application's URL, on two nodes: what is posted, and what its answer does."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.application_backend import SECRET, Answer, ApplicationBackend, url_settings
from support.clients import Api, Live
from support.commands import run_command
from support.nodes import Installation, Node, ServiceUrls, pair_of_nodes
from support.waiting import eventually

from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.crypto.webhook_signatures import WebhookSecret
from auth.platform.metrics import Metrics
from realtime.application import DISCONNECT_HOOK_RETRY_SECONDS
from realtime.application_url.posts import Posts

HEARD = ("chat:message", "chat:note")


@pytest.fixture(scope="module")
def url_backend() -> Iterator[ApplicationBackend]:
    """The backend of the URL nodes."""
    backend = ApplicationBackend()
    backend.start()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def url_installation(services: ServiceUrls) -> Installation:
    """The installation of the URL nodes."""
    return Installation(services)


@pytest.fixture(scope="module")
def url_nodes(url_installation: Installation, url_backend: ApplicationBackend) -> Iterator[tuple[Node, Node]]:
    """Two nodes that post to the backend."""
    settings = url_settings(url_backend.port) | {"VIGIL_LOG_LEVEL": "debug"}
    with pair_of_nodes(url_installation, **settings) as nodes:
        yield nodes


@pytest.fixture
def app(url_backend: ApplicationBackend) -> Iterator[ApplicationBackend]:
    """The backend, for one test's answers."""
    yield url_backend
    url_backend.answers.clear()
    for held in url_backend.held.values():
        held.set()
    url_backend.held.clear()


def always(status: int, content: Any) -> Answer:
    """The same answer to each post."""
    return lambda _: (status, content)


async def opened(connect: Any, log_in: Any, node: Node) -> tuple[Live, Any]:
    login = await log_in(node)
    return await connect(node, login.access_token, also=HEARD), login


async def posted(app: ApplicationBackend, socket_id: str, event: str) -> dict[str, Any]:
    """Wait for a post about a socket; return it."""

    async def found() -> list[dict[str, Any]]:
        return app.of(socket_id, event)

    return (await eventually(found, f"{event} is posted", timeout=60))[0]


async def test_an_event_is_posted_signed_with_who_sent_it_and_the_answer_is_its_ack(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    app.answers["chat:send"] = lambda event: (200, {"said": event["data"]["text"], "ok": False})
    live, login = await opened(connect, log_in, url_nodes[0])
    assert await live.ask("chat:send", {"text": "Grüße"}) == {"ok": True, "said": "Grüße"}
    (event,) = app.of(live.ready["socketId"], "chat:send")
    assert event == {
        "event": "chat:send",
        "data": {"text": "Grüße"},
        "userId": login.user_id,
        "sessionId": login.session_id,
        "socketId": live.ready["socketId"],
        "roles": [],
        "device": event["device"],
        "eventId": event["eventId"],
    }
    assert set(event["device"]) >= {"name", "browser", "os", "kind"}


async def test_the_document_of_the_socket_has_one_entry_for_events_that_only_the_backend_knows(
    url_nodes: Any, http: Any
) -> None:
    async with http.get(f"{url_nodes[0].url}/asyncapi.json") as answer:
        document = await answer.json()
    assert document["operations"]["clientEvent"]["action"] == "receive"
    assert document["components"]["messages"]["client-event"]["name"] == "<application>:<event>"


async def test_the_events_of_a_socket_are_posted_one_at_a_time_in_order_over_a_connection_that_stays_open(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    other, _ = await opened(connect, log_in, url_nodes[0])
    app.held["chat:slow"] = threading.Event()
    slow = asyncio.create_task(live.ask("chat:slow"))
    await posted(app, live.ready["socketId"], "chat:slow")
    rest = [asyncio.create_task(live.ask("chat:count", {"number": number})) for number in range(10)]
    assert (await other.ask("chat:count"))["ok"], "another socket does not wait"
    assert app.of(live.ready["socketId"], "chat:count") == []
    app.held["chat:slow"].set()
    assert all(ack["ok"] for ack in await asyncio.gather(slow, *rest))
    numbers = [each["data"]["number"] for each in app.of(live.ready["socketId"], "chat:count")]
    assert numbers == list(range(10))
    assert len(app.peers) < len(app.taken) / 2


async def test_an_answer_lets_the_socket_join_and_leave_rooms_and_emits_on_both_nodes(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    room = f"chat:{secrets.token_hex(6)}"
    told = [{"to": {"room": room}, "event": "chat:message", "data": {"number": number}} for number in range(3)]
    app.answers["chat:join"] = lambda _: (200, {"join": [room], "emit": told})
    app.answers["chat:leave"] = lambda _: (200, {"leave": [room], "emit": told[:1]})
    lives = [(await opened(connect, log_in, node))[0] for node in url_nodes]
    assert await lives[0].ask("chat:join") == {"ok": True}
    assert await lives[1].ask("chat:join") == {"ok": True}
    await lives[1].wait("chat:message", lambda data: data["number"] == 2)
    await lives[0].wait("chat:message", lambda _: len(lives[0].all("chat:message")) == 6)
    assert [each["number"] for each in lives[0].all("chat:message")] == [0, 1, 2, 0, 1, 2]
    lives[0].heard.clear()
    lives[1].heard.clear()
    await lives[1].ask("chat:leave")
    await lives[0].wait("chat:message")
    assert lives[1].all("chat:message") == []


async def test_an_answer_can_make_a_user_a_member_and_emit_durable_events_as_the_server_api_does(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, login = await opened(connect, log_in, url_nodes[0])
    room = f"chat:{secrets.token_hex(6)}"
    to_user = {"to": {"userId": login.user_id}, "event": "chat:note", "data": {}, "durable": True, "id": room}
    app.answers["chat:enrol"] = lambda event: (
        200,
        {"join": [{"room": room, "userId": event["userId"]}], "emit": [to_user, to_user]},
    )
    assert (await live.ask("chat:enrol"))["ok"]
    await live.wait("chat:note")
    later = await connect(url_nodes[1], login.access_token, also=HEARD, last_event_id=live.ready["lastEventId"])
    await later.wait("chat:note")
    app.answers["chat:tell"] = lambda _: (
        200,
        {"emit": [{"to": {"room": room}, "event": "chat:message", "data": {"to": "members"}}]},
    )
    assert (await live.ask("chat:tell"))["ok"]
    await later.wait("chat:message", lambda data: data == {"to": "members"})
    assert len(later.all("chat:note")) == len(live.all("chat:note")) == 1


async def test_an_answer_says_whom_the_socket_sees(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    (live, _), (_, seen) = [await opened(connect, log_in, node) for node in url_nodes]
    app.answers["chat:see"] = lambda _: (200, {"watch": [seen.user_id], "n": 1})
    assert await live.ask("chat:see") == {"ok": True, "n": 1}
    await live.wait("presence", lambda e: (e["userId"], e["online"]) == (seen.user_id, True))
    # It is told anew after it was not to see the user.
    app.answers["chat:see"] = lambda _: (200, {"unwatch": [seen.user_id], "watch": [seen.user_id]})
    assert await live.ask("chat:see") == {"ok": True}
    await live.wait("presence", lambda _: len(live.all("presence")) == 2)


async def test_a_refusal_of_the_backend_is_the_ack(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    app.answers["chat:send"] = lambda _: (422, {"code": "too_long", "message": "Too long.", "detail": 7})
    assert await live.ask("chat:send") == {"ok": False, "code": "too_long", "message": "Too long."}


async def test_an_answer_that_is_none_is_an_error_of_the_application_and_does_nothing(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    sent = {"to": {"socketId": live.ready["socketId"]}, "event": "chat:note", "data": {}}
    wrong: list[tuple[int, Any]] = [
        (500, {}),
        (302, {}),
        (401, {}),
        (404, "<html>"),
        (200, "not JSON"),
        (200, []),
        (200, {"emit": [sent, {"to": {}, "event": "chat:note", "data": {}}]}),
        (200, {"emit": [sent] * 101}),
        (200, {"emit": [sent], "join": ["a room of Vigil"]}),
        (200, {"emit": [sent], "join": ["chat:x"] * 101}),
        (200, '{"x":' + "[" * 40 + "]" * 40 + "}"),
    ]
    for answer in wrong:
        app.answers["chat:send"] = always(*answer)
        ack = await live.ask("chat:send")
        assert (ack["ok"], ack["code"], ack["retryable"]) == (False, "internal_error", True), answer
    app.answers["chat:send"] = lambda _: (200, {"text": "x" * 300_000})
    assert (await live.ask("chat:send"))["code"] == "unavailable"
    assert live.all("chat:note") == []
    # Redirects are not followed: as many posts as events.
    assert len(app.of(live.ready["socketId"], "chat:send")) == len(wrong) + 1


async def test_an_event_is_waited_for_only_so_long_and_the_next_one_is_served(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    app.held["chat:hang"] = threading.Event()
    ack = await live.ask("chat:hang")
    assert (ack["ok"], ack["code"], ack["retryable"]) == (False, "unavailable", True)
    assert ack["retryAfterMs"] > 0
    assert (await live.ask("chat:send"))["ok"]


async def test_an_act_that_is_refused_does_not_keep_the_others_from_taking_effect(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, login = await opened(connect, log_in, url_nodes[0])
    nobody = {"to": {"sessionId": "nobody"}, "event": "chat:note", "data": {}}
    somebody = {"to": {"sessionId": login.session_id}, "event": "chat:note", "data": {}}
    member = {"room": "chat:lobby", "userId": "nobody"}
    app.answers["chat:send"] = lambda _: (200, {"join": [member], "emit": [nobody, somebody], "id": 1})
    assert await live.ask("chat:send") == {"ok": True, "id": 1}
    await live.wait("chat:note")


async def test_events_without_an_applications_name_and_binary_data_are_not_posted(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    for event in ("send", ":send", "chat:", "chat:a b", "x" * 40 + ":send", "chat:" + "x" * 200):
        assert (await live.ask(event))["code"] == "unknown_event"
    assert (await live.ask("chat:send", {"file": b"binary"}))["code"] == "invalid_request"
    assert {each["event"] for each in app.of(live.ready["socketId"])} <= {"connect"}


async def test_hooks_are_posted_when_a_socket_connects_changes_roles_and_disconnects_and_can_act(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    app.answers["connect"] = lambda event: (
        200,
        {"emit": [{"to": {"socketId": event["socketId"]}, "event": "chat:note", "data": {"hello": 1}}]},
    )
    live, login = await opened(connect, log_in, url_nodes[1])
    await live.wait("chat:note", lambda data: data == {"hello": 1})
    socket_id = live.ready["socketId"]
    connected = await posted(app, socket_id, "connect")
    assert (connected["userId"], connected["data"]) == (login.user_id, {})
    # The first try fails: a disconnect is posted again, with the same id.
    app.answers["disconnect"] = lambda event: (
        503 if len(app.of(event["socketId"], "disconnect")) == 1 else 200,
        {},
    )
    await live.close()

    async def twice() -> bool:
        return len(app.of(socket_id, "disconnect")) == 2

    await eventually(twice, "it is posted again", timeout=60 + DISCONNECT_HOOK_RETRY_SECONDS[0])
    assert len({each["eventId"] for each in app.of(socket_id, "disconnect")}) == 1


async def test_changed_roles_are_posted(
    app: ApplicationBackend, url_nodes: Any, url_installation: Installation, connect: Any, http: Any
) -> None:
    api = Api(url_nodes[0].url, http)
    email = await api.register()
    login = await api.login(email)
    live = await connect(url_nodes[0], login.access_token)
    assert run_command("grant", email, "moderator", environ=url_installation.environ()).status == 0
    changed = await posted(app, live.ready["socketId"], "roles")
    assert "moderator" in changed["roles"]


async def test_a_killed_nodes_sockets_are_posted_as_disconnected_by_another(
    app: ApplicationBackend,
    url_installation: Installation,
    url_nodes: Any,
    connect: Any,
    log_in: Any,
) -> None:
    doomed = await asyncio.to_thread(lambda: url_installation.start(**url_settings(app.port)))
    live, login = await opened(connect, log_in, doomed)
    await posted(app, live.ready["socketId"], "connect")
    doomed.kill()
    gone = await posted(app, live.ready["socketId"], "disconnect")
    assert (gone["sessionId"], gone["roles"], gone["device"]) == (login.session_id, [], None)
    await live.close()


async def test_an_answer_that_comes_after_the_session_has_ended_lets_no_socket_in(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, login = await opened(connect, log_in, url_nodes[0])
    watching, _ = await opened(connect, log_in, url_nodes[1])
    room = f"chat:{secrets.token_hex(6)}"
    note = {"event": "chat:note", "data": {"late": True}}
    others = {"to": {"socketId": watching.ready["socketId"]}, **note}
    app.held["chat:join"] = threading.Event()
    app.answers["chat:join"] = lambda _: (200, {"join": [room], "emit": [{"to": {"room": room}, **note}, others]})
    asked = asyncio.create_task(live.client.emit("chat:join", {}))
    await posted(app, live.ready["socketId"], "chat:join")
    await asked
    assert (await login.call("DELETE", f"/sessions/{login.session_id}")).status == 200
    await live.until_gone()
    app.held["chat:join"].set()
    # Acts that concern others take effect: the backend has served the event.
    await watching.wait("chat:note")
    await posted(app, live.ready["socketId"], "disconnect")
    assert live.all("chat:note") == []


async def test_neither_the_secret_nor_what_clients_say_is_in_the_log(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    app.answers["chat:send"] = lambda _: (500, {"said": "a private matter"})
    assert not (await live.ask("chat:send", {"text": "a private matter"}))["ok"]
    await url_nodes[0].logged("application_answer_wrong")
    text = url_nodes[0].text()
    assert "a private matter" not in text
    assert SECRET.removeprefix("whsec_")[:20] not in text


async def test_while_the_backend_is_down_clients_are_told_when_to_come_back_and_then_served(
    app: ApplicationBackend, url_nodes: Any, connect: Any, log_in: Any
) -> None:
    live, _ = await opened(connect, log_in, url_nodes[0])
    assert (await live.ask("chat:send"))["ok"]
    app.stop_listening()
    for _ in range(7):
        ack = await live.ask("chat:send")
        assert (ack["ok"], ack["code"], ack["retryable"]) == (False, "unavailable", True)
        assert 0 <= ack["retryAfterMs"] <= 30_000
    assert (await live.ask("sessions-list"))["ok"], "Vigil's own events are served"
    app.listen()

    async def served() -> bool:
        return bool((await live.ask("chat:send"))["ok"])

    await eventually(served, "events are served again", timeout=60, every=0.5)


@pytest.mark.parametrize("only_public", [True, False])
async def test_a_name_that_leads_to_a_private_address_is_refused_unless_allowed(
    app: ApplicationBackend, *, only_public: bool
) -> None:
    """Settings do not resolve names, and a name may lead to another address later."""
    url, secret = f"http://localhost:{app.port}/vigil", WebhookSecret.parse(SECRET)
    posts = Posts(url, [secret], only_public=only_public, metrics=Metrics(), clock=utc_now)
    message_id = secrets.token_hex(8)
    posting = posts.post(message_id, {"eventId": message_id, "event": "chat:send", "socketId": message_id})
    if only_public:
        with pytest.raises(Unavailable):
            await posting
    else:
        assert (await posting).status == 200
    await posts.close()
    assert len(app.of(message_id)) == (0 if only_public else 1)
