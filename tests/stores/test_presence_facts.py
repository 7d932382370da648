"""Devices that are recorded as online at nodes that are gone are told to be offline."""

from typing import cast

import pytest
from support.session_world import Time
from support.waiting import eventually

from auth.stores.device_presence import DevicePresence, DeviceSeen
from auth.stores.mongo import Mongo
from realtime.broker import presence_facts
from realtime.broker.leases import NodeLeases
from realtime.broker.presence_facts import MOST_COMPARED, PresenceFacts


class Leases:
    """One node is alive."""

    asked = 0

    async def alive(self) -> list[str]:
        self.asked += 1
        return ["here"]


async def test_all_devices_of_a_dead_node_go_offline_in_one_round(
    mongo: Mongo, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose sockets Redis knows at another node are recorded there."""
    monkeypatch.setattr(presence_facts, "ROUND_SECONDS", 0.2)
    store, leases, count = DevicePresence(mongo.database), Leases(), 3 * MOST_COMPARED
    rounds: list[int] = []
    seen = [DeviceSeen(f"user-{number}", "phone", online=True, at=time.now) for number in range(count)]
    await store.note(seen, node_id="dead")

    async def nodes_of(user_id: str, session_id: str) -> list[str]:
        rounds.append(leases.asked)
        return ["here"] if user_id == "user-7" else []

    facts = PresenceFacts(store, cast("NodeLeases", leases), node_id="here", clock=time)
    facts.start(nodes_of)

    async def done() -> bool:
        return await store.online_elsewhere([], limit=count) == [("user-7", "phone", "here")]

    try:
        await eventually(done, "one device that is online", timeout=60)
    finally:
        await facts.close()
    # Each once, in the second round: the first one notes that the node has no lease.
    assert rounds == [2] * count
