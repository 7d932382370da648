"""Long polling and the upgrade to WebSocket through a real HAProxy with sticky routing, two nodes behind it.

A client names its affinity in the query, `/socket.io/?affinity=…`, and HAProxy keeps all its requests on one node;
what names none, like the HTTP API, goes to either. (By cookie or address it would be the same, but for tests: they
want a client on each node, and come from one address.)
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance.socket_io import packet
from conformance.wire import Wire
from support.clients import PASSWORD, Api, Live, Login
from support.nodes import ROOT, Installation, Node, ServiceUrls
from yarl import URL

Connect = Callable[..., Awaitable[Live]]

CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    # Longer than a poll hangs: the server pings every 25 s.
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 10s

frontend everyone
    bind fd@{listener}
{denials}
    default_backend nodes

backend nodes
    balance url_param affinity
    hash-type consistent
    option forwardfor
    http-response set-header X-Served-By %s
{servers}
"""


@dataclass(frozen=True)
class Proxy:
    """HAProxy, and for each node the URL of a client that is kept on it."""

    url: str
    first: str
    second: str


def haproxy() -> str:
    """The program. Without it these tests fail: that the proxy works is part of what is promised."""
    found = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("HAProxy is needed for this test: apt-get install haproxy", pytrace=False)
    return found


@pytest.fixture(scope="module")
def nodes(services: ServiceUrls) -> Iterator[tuple[Node, Node]]:
    """Two nodes that believe the proxy."""
    installation = Installation(services)
    trusting = {"VIGIL_TRUSTED_PROXIES": "127.0.0.1"}
    started = (installation.start(**trusting), installation.start(**trusting))
    yield started
    assert [node.stop() for node in started] == [0, 0]


@pytest.fixture(scope="module")
def proxied(nodes: tuple[Node, Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HAProxy in front of them; its URL. Its port is taken here and handed to it, so nobody else can have it."""
    program, file = haproxy(), tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        servers = "\n".join(
            f"    server node{n} {node.url.removeprefix('http://')}" for n, node in enumerate(nodes)
        )
        configuration = CONFIGURATION.format(listener=listener.fileno(), servers=servers, denials=denials())
        file.write_text(configuration)
        process = start(program, file, listener)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=10)
    assert "[ALERT]" not in output, output


def denials() -> str:
    """What deploy/haproxy.cfg keeps from the outside."""
    lines = (ROOT / "deploy/haproxy.cfg").read_text().splitlines()
    found = [line for line in lines if line.strip().startswith("http-request deny")]
    assert found
    return "\n".join(found)


def start(program: str, file: Path, listener: socket.socket) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [program, "-db", "-f", str(file)],
        pass_fds=[listener.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
async def proxy(proxied: str, http: aiohttp.ClientSession) -> Proxy:
    """HAProxy, asked for whom it sends where."""
    kept: dict[str, str] = {}
    for n in range(100):
        async with http.get(f"{proxied}/health/live?affinity={n}") as answer:
            assert answer.status == 200
            kept.setdefault(answer.headers["X-Served-By"], f"{proxied}?affinity={n}")
        if len(kept) == 2:
            break
    return Proxy(proxied, kept["node0"], kept["node1"])


@pytest.fixture
def through(proxy: Proxy, http: aiohttp.ClientSession) -> Api:
    """The HTTP API through the proxy."""
    return Api(proxy.url, http)


@pytest.fixture
async def account(nodes: tuple[Node, Node], http: aiohttp.ClientSession) -> str:
    """The address of an account. It is confirmed at the node itself: through a proxy there is no outbox."""
    return await Api(nodes[0].url, http).register()


@pytest.fixture
async def devices(through: Api, account: str) -> tuple[Login, Login]:
    """Two devices of one user."""
    email = account
    return await through.login(email), await through.login(email)


async def test_a_client_is_kept_on_one_node_whatever_it_asks(proxy: Proxy, http: aiohttp.ClientSession) -> None:
    for client in (proxy.first, proxy.second):
        served = set()
        for path in ("/health/live", "/api/auth/me", "/socket.io/") * 3:
            async with http.get(client.replace("?", path + "?")) as answer:
                served.add(answer.headers["X-Served-By"])
        assert len(served) == 1


async def test_who_has_none_is_served_by_either(proxy: Proxy, http: aiohttp.ClientSession) -> None:
    served = set()
    for _ in range(4):
        async with http.get(proxy.url + "/health/live") as answer:
            served.add(answer.headers["X-Served-By"])
    assert served == {"node0", "node1"}


@pytest.mark.parametrize("transports", [("polling",), ("polling", "websocket"), ("websocket",)])
async def test_a_client_is_served_by_every_transport(
    proxy: Proxy, devices: tuple[Login, Login], connect: Connect, transports: tuple[str, ...]
) -> None:
    laptop, _ = devices
    live = await connect(proxy.first, laptop.access_token, transports=transports, also=("chat:message",))
    assert live.ready["sessionId"] == laptop.session_id
    assert live.client.transport() == transports[-1]
    # To the server and back, in order.
    assert (await live.ask("chat:join"))["ok"]
    for n in range(20):
        assert (await live.ask("chat:send", {"text": str(n)}))["ok"]
    await live.wait("chat:message", lambda message: message["text"] == "19")
    assert [message["text"] for message in live.all("chat:message")] == [str(n) for n in range(20)]
    listed = await live.ask("sessions-list")
    mine = next(each for each in listed["sessions"] if each["isCurrent"])
    assert mine["online"]


async def test_what_happens_on_one_node_reaches_pollers_and_upgraded_clients_on_both(
    proxy: Proxy, devices: tuple[Login, Login], connect: Connect
) -> None:
    laptop, phone = devices
    polls = await connect(proxy.first, laptop.access_token, transports=("polling",), also=("chat:message",))
    upgraded = await connect(
        proxy.second, phone.access_token, transports=("polling", "websocket"), also=("chat:message",)
    )
    for live in (polls, upgraded):
        await live.ask("chat:join")
    await polls.ask("chat:send", {"text": "from the poller"})
    await upgraded.ask("chat:send", {"text": "from the other"})
    for live in (polls, upgraded):
        await live.wait("chat:message", lambda message: message["text"] == "from the poller")
        await live.wait("chat:message", lambda message: message["text"] == "from the other")


@pytest.mark.parametrize("transports", [("polling",), ("polling", "websocket")])
async def test_a_revocation_on_the_other_node_is_heard_and_ends_the_connection(
    proxy: Proxy, devices: tuple[Login, Login], connect: Connect, transports: tuple[str, ...]
) -> None:
    laptop, phone = devices
    boss = await connect(proxy.first, laptop.access_token)
    lost = await connect(proxy.second, phone.access_token, transports=transports)
    ack = await boss.ask("session-revoke", {"sessionId": phone.session_id})
    assert ack["ok"], ack
    told = await lost.wait("session-revoked")
    assert (told["sessionId"], told["reason"]) == (phone.session_id, "revoked")
    await lost.until_gone()
    assert (ack["delivery"]["sockets"], ack["delivery"]["acknowledged"]) == (1, 1)
    assert (await phone.call("GET", "/me")).code == "session_revoked"


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "/metrics?x", "/metrics/", "/METRICS/../metrics"])
async def test_the_metrics_are_kept_from_the_outside(proxy: Proxy, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(URL(proxy.url + path, encoded=True)) as answer:
        assert answer.status in {403, 404}
        assert "vigil_" not in await answer.text()


@pytest.mark.parametrize("path", ["/dev/outbox", "/dev/outbox.json"])
async def test_there_is_no_outbox_through_a_proxy(
    proxy: Proxy, nodes: tuple[Node, Node], http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(proxy.url + path) as answer:
        assert answer.status == 404
    async with http.get(nodes[0].url + path) as answer:
        assert answer.status == 200


async def test_the_nodes_see_the_client_not_the_proxy(
    proxy: Proxy, through: Api, account: str, connect: Connect
) -> None:
    body = {"email": account, "password": PASSWORD}
    answer = await through.call("POST", "/login", body, headers={"X-Forwarded-For": "203.0.113.7"})
    live = await connect(proxy.second, answer.data["accessToken"], transports=("polling",))
    listed = await live.ask("sessions-list")
    assert [each["ip"] for each in listed["sessions"]] == ["203.0.113.7"]


@pytest.fixture
def wire(proxy: Proxy, http: aiohttp.ClientSession) -> Wire:
    """The proxy, for a client that is kept on the first node."""
    _, affinity = proxy.first.split("?")
    return Wire(http, proxy.url, "/socket.io/", 25.0, 20.0, always=affinity + "&")


async def test_nothing_is_lost_doubled_or_reordered_while_a_client_changes_over(
    proxy: Proxy, wire: Wire, devices: tuple[Login, Login], connect: Connect
) -> None:
    laptop, phone = devices
    talker = await connect(proxy.second, laptop.access_token)
    texts = [str(n) for n in range(80)]

    async def talk() -> None:
        for text in texts:
            await talker.ask("chat:send", {"text": text})

    heard: list[Any] = []
    polling = await wire.poll_in()
    await polling.post(packet(0, data={"token": phone.access_token}), '421["chat:join",{}]')
    while not any(each.startswith("431") for each in heard):
        heard += (await polling.poll()).packets
    await talker.ask("chat:join")
    talking = asyncio.create_task(talk())
    while len(messages(heard)) < 5:
        heard += (await polling.poll()).packets
    async with wire.upgrade(polling) as socket:
        poll = asyncio.create_task(polling.poll())
        await socket.send("2probe")
        assert await socket.receive() == "3probe"
        heard += (await poll).packets
        await socket.send("5")
        while texts[-1] not in messages(heard):
            heard.append(await socket.message())
    await talking
    assert messages(heard) == texts


def messages(heard: list[Any]) -> list[str]:
    """The texts of the chat."""
    head = '42["chat:message",'
    return [json.loads(each[2:])[1]["text"] for each in heard if str(each).startswith(head)]
