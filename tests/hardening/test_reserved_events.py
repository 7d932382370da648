"""What the library calls its own events, a client may not send: it reaches no handler and ends the connection.

tests/unit/test_packets.py has all such names, in each kind of packet.
"""

import json
from typing import Any

import pytest
from support.raw_socket import RawSocket
from support.wire import Wire


@pytest.mark.parametrize("name", ["connect", "disconnect"])
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


async def hooks(watching: RawSocket) -> list[list[str]]:
    seen = (await watching.ask("probe:seen", {}))["seen"]
    return [each for each in seen if each[0] in {"connected", "disconnected"}]


async def hooks_of(watching: RawSocket, socket_id: str) -> list[list[str]]:
    """Everything the hooks were told, once the socket's end is in it."""
    while True:
        seen = await hooks(watching)
        if any(hook == "disconnected" and of == socket_id for hook, _, of in seen):
            return seen
