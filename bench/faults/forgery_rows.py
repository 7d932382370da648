"""Somebody who can write to Redis publishes and stores what no node has sent."""

import json
import time

from support.clients import Live
from support.devices import Devices

from bench.faults.rows import Figure, Row
from bench.faults.world import CHAT, World, seconds_until
from realtime.broker.redis_keys import Keys

MALFORMED = [b"", b"\xff\xfe", b"s", b"[]", b"{}", b'{"t":"hello"}', b"x" * 100_000]
TEXT = "forged"


async def forged(world: World) -> list[Figure]:
    """Publish on every channel of two nodes, and write into a user's log."""
    stores = world.stores()
    installation = stores.installation()
    pair = await world.start(installation, 2, VIGIL_APPLICATION=CHAT)
    [one] = await world.devices(pair, 1)
    laptop = await world.connect(pair[0], one.laptop.access_token, also=("chat:message",))
    assert (await laptop.ask("chat:join"))["ok"]
    frames = events(one.laptop.data["user"]["userId"], one.phone.session_id)
    messages = [*MALFORMED, *frames, *map(dumps, between_nodes())]
    reached = 0
    log = Keys(installation.name).log(one.laptop.data["user"]["userId"])
    with stores.redis_client() as redis:
        channels = redis.execute_command("PUBSUB", "SHARDCHANNELS", f"{installation.name}*")
        # Channels of one node in 1,024 shards: some of each are enough.
        for channel in [*channels[:40], *(name for name in channels if b"rooms" in name)]:
            for message in messages:
                reached += int(redis.execute_command("SPUBLISH", channel, message))
        # The log is read behind a genuine event only.
        await rename(one, "genuine before")
        redis.rpush(log, *frames)
    returned = await world.connect(
        pair[1], one.laptop.access_token, last_event_id=laptop.ready["lastEventId"], also=("chat:message",)
    )

    async def counted() -> bool:
        return sum([await forged_count(world, node.url) for node in pair]) >= reached + len(frames)

    seconds = await seconds_until(counted, "everything forged is counted")
    await rename(one, "genuine")
    for live in (laptop, returned, one.ended):
        await live.wait("sessions-changed", lambda e: e["session"]["device"]["name"] == "genuine")
    return [
        Figure("forged or malformed messages received by nodes", reached),
        Figure("events forged in a log", len(frames)),
        Figure("believed", sum(believed(live) for live in (laptop, returned, one.ended)), most=0),
        Figure("sockets closed", sum(live.gone.is_set() for live in (laptop, returned, one.ended)), most=0),
        Figure("all counted after", seconds, "s"),
    ]


async def rename(one: Devices, name: str) -> None:
    """Cause an event of the user."""
    answer = await one.laptop.call("PATCH", f"/sessions/{one.laptop.session_id}", {"deviceName": name})
    assert answer.status == 200, answer.body


def events(user_id: str, session_id: str) -> list[bytes]:
    """Frames of the user that no node has made, without a tag and with a wrong one."""
    payload = {"sessionId": session_id, "reason": "admin", "at": "2026-01-01T00:00:00Z", "by": {"kind": "admin"}}
    alert = {"kind": "new_device", "text": TEXT}
    made = []
    for event, content in (("session-revoked", payload), ("security-alert", alert)):
        number = time.time_ns() // 1000
        frame = {"u": user_id, "i": number, "p": number - 1, "e": event, "s": session_id, "v": None, "o": ""}
        made += [dumps(frame | {"d": content}), dumps(frame | {"d": content, "m": "0" * 32})]
    return made


def between_nodes() -> list[dict[str, object]]:
    """What nodes tell each other, without a tag."""
    return [
        {"t": "room", "room": "lobby", "packets": [f'2["chat:message",{{"text":"{TEXT}"}}]'], "from": "x"},
        {"t": "approval", "login": "00" * 16, "status": "approved", "from": "x"},
        {"t": "receipt", "request": "1", "node": "x", "sockets": 9, "closed": 9},
        {"t": "heartbeat", "at": 1e12},
    ]


def dumps(value: object) -> bytes:
    """Compact JSON, as nodes write it."""
    return json.dumps(value, separators=(",", ":")).encode()


def believed(live: Live) -> int:
    """Count what a client was told of forged things."""
    return sum(name in {"session-revoked", "security-alert"} or TEXT in str(data) for name, data in live.heard)


async def forged_count(world: World, url: str) -> int:
    """What a node has counted as forged."""
    async with world.http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(int(float(line.split()[1])) for line in lines if line.startswith("vigil_bus_forged_total"))


FORGERY_ROWS = [
    Row(
        "forged-messages",
        "somebody who can write to Redis forges messages between nodes, and events in a user's log",
        "they are ignored, counted (`vigil_bus_forged`) and logged",
        "Messages and events carry a tag under a key from the root secret. A writer to Redis can still delete, "
        "hold back and repeat genuine ones: keep it private.",
        forged,
    ),
]
