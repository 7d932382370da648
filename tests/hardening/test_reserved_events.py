"""What the library calls its own events, a client may not send: it reaches no handler and ends the connection."""

import json
from typing import Any

import aiohttp
import pytest
from support.raw_socket import Polling, RawSocket
from support.wire import Wire

RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
PLACEHOLDER = {"_placeholder": True, "num": 0}


@pytest.mark.parametrize("name", RESERVED)
async def test_a_reserved_event_closes_the_socket_and_reaches_no_handler(
    attacked: Any, token: Any, watching: RawSocket, name: str
) -> None:
    forged = [[], [{}], [{"token": "x"}], ["socket-id", {"environ": {}}, {"token": "x"}], [["transport close"]]]
    events = ["42" + json.dumps([name, *arguments]) for arguments in forged]
    events += [f"427{event[2:]}" for event in events]
    events.append(f'42["\\u{ord(name[0]):04x}{name[1:]}"]')
    for event in events:
        async with Wire.open(attacked.url) as wire:
            assert (await wire.connect(token)).kind == "0"
            ready = await wire.wait_for("2", event="ready")
            wire.send(event)
            # What comes behind it is not served any more.
            wire.send('429["sessions-list",{}]')
            while (packet := await wire.packet()) is not None:
                assert packet.kind not in {"3", "4"}, packet
            # Once each, for the connection that really came and went.
            socket_id = ready.data[1]["socketId"]
            own = [hook for hook, _, of in await hooks_of(watching, socket_id) if of == socket_id]
            assert own == ["connected", "disconnected"]
    assert "socket-id" not in {of for _, _, of in await hooks(watching)}


@pytest.mark.parametrize("name", RESERVED)
async def test_nor_does_one_with_an_attachment(attacked: Any, token: Any, watching: Any, name: str) -> None:
    async with RawSocket.open(attacked.url) as raw:
        await raw.connect(token)
        await raw.send("451-" + json.dumps([name, PLACEHOLDER]))
        await raw.send(b"x")
        await raw.until_closed(timeout=30)


@pytest.mark.parametrize("name", RESERVED)
async def test_nor_does_one_by_polling(
    attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any, name: str
) -> None:
    polling = await Polling.open(attacked.url, http)
    assert await polling.send(b"40" + json.dumps(token).encode()) == 200
    await polling.until("ready")
    await polling.send(f'42["{name}"]\x1e429["sessions-list",{{}}]'.encode())
    assert "439" not in await polling.rest(timeout=30)


@pytest.mark.parametrize("name", ["Connect", "connect ", "connection", "error", "message", "*", "__proto__"])
async def test_other_names_are_merely_unknown(attacked: Any, token: Any, watching: Any, name: str) -> None:
    async with RawSocket.open(attacked.url) as raw:
        await raw.connect(token)
        assert (await raw.ask(name, {}))["code"] == "unknown_event"
        assert (await raw.ask("sessions-list", {}))["ok"] is True


async def hooks(watching: RawSocket) -> list[list[str]]:
    seen = (await watching.ask("probe:seen", {}))["seen"]
    return [each for each in seen if each[0] in {"connected", "disconnected"}]


async def hooks_of(watching: RawSocket, socket_id: str) -> list[list[str]]:
    """Everything the hooks were told, once the socket's end is in it."""
    while True:
        seen = await hooks(watching)
        if any(hook == "disconnected" and of == socket_id for hook, _, of in seen):
            return seen


async def test_the_stock_lets_a_client_call_its_lifecycle_handlers(stock: Any) -> None:
    async with Wire.open(stock.url) as wire:
        mine = (await wire.connect()).data["sid"]
        before = (await wire.ask("seen", {}))["seen"]
        wire.send('42["connect",{},{}]')
        wire.send('42["disconnect","because I say so"]')
        # Each in a task of its own: asked again until both have run.
        while len(after := (await wire.ask("seen", {}))["seen"][len(before) :]) < 2:
            pass
        assert sorted(after) == [["connected", mine], ["disconnected", mine]]
