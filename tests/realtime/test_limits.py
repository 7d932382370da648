"""How much a peer may ask for, and what becomes of one that does not listen."""

from typing import Any

import aiohttp
import pytest
from support.clients import Refused
from support.nodes import PROBE
from support.raw_socket import RawSocket

PROBE_EVENTS = ("probe:said",)
# More than the kernel takes between two sockets here, on either side: what is left is for the node to keep.
FLOOD = 16_000_000
MESSAGE = 60_000


class TestRates:
    """With limits on, as they are by default."""

    @pytest.fixture
    def limited(self, start_node: Any) -> Any:
        return start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SOCKET_CONNECTS="12/minute")

    async def test_a_socket_may_send_a_hundred_events_a_minute_and_an_address_connect_so_often(
        self, limited: Any, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(limited)
        async with RawSocket.open(limited.url) as raw, RawSocket.open(limited.url) as other:
            await raw.connect({"token": login.access_token})
            await other.connect({"token": login.access_token})
            ids = [await raw.emit("sessions-list", {}) for _ in range(50)]
            ids += [await raw.emit("nonsense", {}) for _ in range(49)]
            ids.append(await raw.emit("sessions-list", {}))
            await raw.wait_for("3", ids[-1])
            acks = [packet for packet in raw.heard if packet.kind == "3"]
            assert [ack.id for ack in acks] == ids
            assert [ack.data[0].get("code") for ack in acks] == [None] * 50 + ["unknown_event"] * 49 + [None]
            for event in ("sessions-list", "chat:join", "nonsense", "reauthenticate"):
                ack = await raw.ask(event, {})
                assert (ack["ok"], ack["code"]) == (False, "rate_limited"), event
                assert 0 < ack["retryAfterMs"] <= 60_000
            # Of each socket its own.
            assert (await other.ask("sessions-list", {}))["ok"] is True
            # What the server asks for is not counted: a device that is limited can still be told to go.
            ended = await login.call("DELETE", f"/sessions/{login.session_id}")
            assert ended.status == 200
            await raw.wait_for("2", event="session-revoked")

        # Two came in; ten more are refused for what they are, and after that for their number.
        refusals = [await self.refusal(connect, limited, token) for token in ["x"] * 5 + [login.access_token] * 5]
        assert [each["code"] for each in refusals] == ["invalid_token"] * 5 + ["session_revoked"] * 5
        again = await log_in(limited, login.data["user"]["email"])
        for token in (again.access_token, "x", None):
            refused = await self.refusal(connect, limited, token)
            assert (refused["code"], refused["retryable"]) == ("rate_limited", True)
            assert 0 < refused["retryAfterMs"] <= 60_000

    async def test_an_event_with_a_limit_of_its_own_takes_nothing_from_the_others(
        self, start_node: Any, log_in: Any
    ) -> None:
        node = start_node(
            VIGIL_RATE_LIMITS="on",
            VIGIL_APPLICATION=PROBE,
            VIGIL_LIMIT_SOCKET_EVENTS="4/hour",
            VIGIL_EVENT_LIMITS="probe:silent=5/hour",
        )
        login = await log_in(node)
        async with RawSocket.open(node.url) as raw:
            await raw.connect({"token": login.access_token})
            limits = (("probe:silent", 5), ("probe:typing", 3), ("presence-set", 10), ("probe:echo", 4))
            for event, allowed in limits:
                payload = {} if event == "presence-set" else {"n": 1}
                acks = [await raw.ask(event, payload) for _ in range(allowed + 1)]
                assert [ack["ok"] for ack in acks] == [True] * allowed + [False], event
                assert acks[-1]["code"] == "rate_limited"

    @staticmethod
    async def refusal(connect: Any, *where: Any) -> Any:
        with pytest.raises(Refused) as refused:
            await connect(*where)
        return refused.value.data


async def test_a_peer_that_does_not_read_is_dropped_and_the_others_hear_everything(
    probe_nodes: Any, connect: Any, log_in: Any, http: aiohttp.ClientSession
) -> None:
    first, second = probe_nodes
    login = await log_in(first)
    speaking = await connect(first, login.access_token)
    hearing = await connect(second, login.access_token, also=PROBE_EVENTS)
    async with RawSocket.open(second.url, receive_buffer=4096) as deaf:
        assert (await deaf.connect({"token": login.access_token})).kind == "0"
        assert (await deaf.ask("probe:enter", {}))["ok"] is True
        await hearing.ask("probe:enter")
        memory = resident_kib(second)
        # From here on it reads nothing. The other one is waited for, so that it is never behind itself.
        sent = 0
        while '"event":"socket_slow_reader"' not in second.text():
            sent += 1
            assert sent < FLOOD / MESSAGE, "not dropped"
            await speaking.ask("probe:say", {"n": sent, "size": MESSAGE})
            await hearing.wait("probe:said", lambda said, n=sent: said["n"] == n)
            hearing.heard[-1] = ("probe:said", {"n": sent})
        # Its queue was bounded, so the node has hardly grown.
        assert resident_kib(second) - memory < 20_000
        await speaking.ask("probe:say", {"n": sent + 1})
        await hearing.wait("probe:said", lambda said: said["n"] == sent + 1)
        assert [said["n"] for said in hearing.all("probe:said")] == list(range(1, sent + 2))
        assert not hearing.gone.is_set()
        # The connection itself is cut, and what it is told of last is not that it should wait.
        await deaf.until_closed(timeout=20)
    # It may come back.
    async with RawSocket.open(second.url) as back:
        assert (await back.connect({"token": login.access_token})).kind == "0"


def resident_kib(node: Any) -> int:
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
