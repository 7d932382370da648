"""Stock Socket.IO clients, by both transports: who may come back does so by itself, who may not stays away."""

import asyncio
from collections.abc import Callable
from typing import Any

from support.clients import Api
from support.stock import StockClient
from support.waiting import eventually

TRANSPORTS = ("websocket", "polling")

# socket.io-client with its defaults; `auth` is asked for a token each time.
CONNECT = """async ([transports, token]) => {
  const { io } = await import("/demo/vendor/socket.io.esm.min.js");
  window.clients = Object.fromEntries(transports.map((transport) => {
    const socket = io({ transports: [transport], auth: (give) => give({ token }), forceNew: true });
    const seen = { socket, sockets: [], lost: [] };
    socket.on("ready", ({ socketId }) => seen.sockets.push(socketId));
    socket.on("disconnect", (reason) => seen.lost.push(reason));
    return [transport, seen];
  }));
}"""
SEEN = """() => Object.values(window.clients).map(
  ({ socket, sockets, lost }) => ({ sockets: sockets.length, lost, comesBack: socket.active }))"""


async def test_they_return_from_a_node_that_stops_and_stay_away_when_their_login_is_ended(
    demo: Callable[..., Any],
    device: Callable[..., Any],
    account: Callable[..., Any],
    http: Any,
    unused_tcp_port: int,
) -> None:
    node = demo(VIGIL_PORT=str(unused_tcp_port))
    api = Api(node.url, http)
    email = await account(node)
    login, other = await api.login(email), await api.login(email)
    page = (await device("Stock")).page
    await page.goto(node.url)
    await page.evaluate(CONNECT, [TRANSPORTS, login.access_token])

    async def token() -> dict[str, Any]:
        return {"token": login.access_token}

    python = [await StockClient.connect(node.url, token, transport) for transport in TRANSPORTS]

    async def browser_sees(**expected: Any) -> list[Any]:
        async def as_expected() -> list[Any]:
            seen = await page.evaluate(SEEN)
            return seen if all(each | expected == each for each in seen) else []

        return await eventually(as_expected, f"the browser sees {expected}", timeout=30)

    await browser_sees(sockets=1)
    assert await asyncio.to_thread(node.stop) == 0
    await browser_sees(sockets=1, comesBack=True)
    node = demo(VIGIL_PORT=str(unused_tcp_port))
    await browser_sees(sockets=2)
    for client in python:
        await client.until_sockets(2)
    lost = [reason for each in await page.evaluate(SEEN) for reason in each["lost"]]
    assert set(lost) <= {"transport close", "transport error"}

    ended = await Api(node.url, http).call("DELETE", f"/sessions/{login.session_id}", token=other.access_token)
    assert ended.status == 200
    for each in await browser_sees(sockets=2, comesBack=False):
        assert each["lost"][-1] == "io server disconnect"
    for client in python:

        async def is_away(client: StockClient = client) -> bool:
            return not client.comes_back

        await eventually(is_away, "it stays away", timeout=30)
        assert client.lost[-1] == "server disconnect"
        assert len(client.sockets) == 2
