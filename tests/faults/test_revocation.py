"""A revoked session is over at once, everywhere, whatever else was going on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from support.clients import Api, Live, Login, Refused
from support.nodes import Node
from support.sockets import Sockets, connection, delivering

from auth.core.clock import iso, utc_now
from realtime.hub import Connections, Frame

Nodes = tuple[Node, Node]
Connect = Callable[..., Awaitable[Live]]

RACES = 36
# A refresh takes some milliseconds: within this span everything happens before, during and after the others.
SPAN_SECONDS = 0.03


async def refused_handshake(node: Node, token: str) -> Any:
    with pytest.raises(Refused) as refusal:
        await Live.connect(node.url, token)
    return refusal.value.data


async def test_its_access_token_is_refused_at_once_on_both_nodes(
    api: Api, shared_nodes: Nodes, http: aiohttp.ClientSession
) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    for node in shared_nodes:
        assert (await Api(node.url, http).call("GET", "/me", token=phone.access_token)).status == 200
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    for node in shared_nodes:
        answer = await Api(node.url, http).call("GET", "/me", token=phone.access_token)
        assert (answer.status, answer.code) == (401, "session_revoked")
        refusal = await refused_handshake(node, phone.access_token)
        assert (refusal["code"], refusal["retryable"]) == ("session_revoked", False)
    assert (await phone.refresh()).code == "session_revoked"


async def test_its_sockets_serve_nothing_more_not_even_while_they_are_being_told(
    api: Api, shared_nodes: Nodes, connect: Connect
) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    # This one never acknowledges, so the server keeps it for a second after it was told.
    slow = await connect(shared_nodes[1], phone.access_token, acknowledge=False)
    revoking = asyncio.create_task(laptop.call("DELETE", f"/sessions/{phone.session_id}"))
    await slow.wait("session-revoked")
    for event, payload in (
        ("reauthenticate", {"token": phone.access_token}),
        ("refresh", {"refreshToken": phone.refresh_token}),
        ("sessions-list", {}),
    ):
        ack = await slow.ask(event, payload)
        assert (ack["ok"], ack["code"]) == (False, "session_revoked"), event
    await slow.until_gone(timeout=30)
    delivery = (await revoking).data["delivery"]
    # It is closed when its second is over, and so is the count: either may come first.
    assert (delivery["sockets"], delivery["notified"], delivery["acknowledged"]) == (1, 1, 0)
    assert delivery["closed"] + delivery["pending"] == 1


async def test_of_fifty_refreshes_with_one_token_on_two_nodes_one_rotates(
    api: Api, shared_nodes: Nodes, http: aiohttp.ClientSession
) -> None:
    login = await api.login(await api.register())
    apis = [Api(each.url, http) for each in shared_nodes]
    body = {"refreshToken": login.refresh_token}
    answers = await asyncio.gather(*(apis[n % 2].call("POST", "/refresh", body) for n in range(50)))
    assert {answer.status for answer in answers} == {200}
    outcomes = [answer.data["outcome"] for answer in answers]
    assert (outcomes.count("rotated"), outcomes.count("replayed")) == (1, 49)
    assert len({answer.data["refreshToken"] for answer in answers}) == 1
    for answer in answers[:5]:
        assert (await api.call("GET", "/me", token=answer.data["accessToken"])).status == 200
    again = await api.call("POST", "/refresh", {"refreshToken": answers[0].data["refreshToken"]})
    assert again.data["outcome"] == "rotated"


@dataclass
class Race:
    """One session that is revoked while it is refreshed and re-authenticates."""

    number: int
    nodes: Nodes
    http: aiohttp.ClientSession
    owner: Login
    device: Login
    live: Live
    access_tokens: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)
    revoked: bool = False

    async def run(self) -> None:
        self.access_tokens.append(self.device.access_token)
        self.refresh_tokens.append(self.device.refresh_token)
        chance = random.Random(self.number)
        others = [self.refresh_by_http, self.refresh_by_socket, self.reauthenticate]
        chance.shuffle(others)
        await asyncio.gather(
            self.at(chance, [self.revoke_by_http, self.revoke_by_socket, self.log_out][self.number % 3]),
            *(self.at(chance, act) for act in others[: 2 + self.number % 2]),
        )

    async def at(self, chance: random.Random, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(chance.random() * SPAN_SECONDS)
        await act()

    def api(self, offset: int) -> Api:
        return Api(self.nodes[(self.number + offset) % 2].url, self.http)

    async def revoke_by_http(self) -> None:
        path = f"/sessions/{self.device.session_id}"
        answer = await self.api(0).call("DELETE", path, token=self.owner.access_token)
        assert answer.status == 200, answer.body
        await self.nothing_works()

    async def revoke_by_socket(self) -> None:
        # A device that ends itself: the answer comes before the end of the connection, or with it.
        try:
            ack = await self.live.ask("session-revoke", {"sessionId": self.device.session_id})
        except Exception:
            await self.live.until_gone()
        else:
            assert ack["ok"], ack
        await self.nothing_works()

    async def log_out(self) -> None:
        answer = await self.api(1).call("POST", "/logout", {"refreshToken": self.device.refresh_token})
        assert answer.status == 200, answer.body
        await self.nothing_works()

    async def refresh_by_http(self) -> None:
        answer = await self.api(1).call("POST", "/refresh", {"refreshToken": self.device.refresh_token})
        if answer.status == 200:
            await self.keep(answer.data)
        else:
            assert answer.code == "session_revoked", answer.body

    async def refresh_by_socket(self) -> None:
        ack = await self.ask("refresh", {"refreshToken": self.device.refresh_token})
        if ack is not None and ack["ok"]:
            await self.keep(ack)

    async def reauthenticate(self) -> None:
        await self.ask("reauthenticate", {"token": self.device.access_token})

    async def ask(self, event: str, payload: dict[str, str]) -> Any:
        try:
            ack = await self.live.ask(event, payload, timeout=2)
        except Exception:
            await self.live.until_gone()  # no answer has one excuse
            return None
        assert ack["ok"] or ack["code"] == "session_revoked", ack
        return ack

    async def keep(self, data: dict[str, Any]) -> None:
        self.access_tokens.append(data["accessToken"])
        self.refresh_tokens.append(data["refreshToken"])
        if self.revoked:
            await self.nothing_works()

    async def nothing_works(self) -> None:
        """From the answer to the revocation on, at once and for good."""
        self.revoked = True
        for node in self.nodes:
            api = Api(node.url, self.http)
            for token in tuple(self.access_tokens):
                assert (await api.call("GET", "/me", token=token)).code == "session_revoked"
            for token in tuple(self.refresh_tokens):
                assert (await api.call("POST", "/refresh", {"refreshToken": token})).code == "session_revoked"

    async def is_over(self) -> None:
        await self.live.until_gone(timeout=25)
        assert [event["sessionId"] for event in self.live.all("session-revoked")] == [self.device.session_id]
        await self.nothing_works()
        refusal = await refused_handshake(self.nodes[self.number % 2], self.access_tokens[-1])
        assert refusal["code"] == "session_revoked"


async def test_it_stays_over_whatever_races_with_the_revocation(
    api: Api, shared_nodes: Nodes, http: aiohttp.ClientSession, connect: Connect
) -> None:
    email = await api.register()
    owner = await api.login(email)
    devices = await asyncio.gather(*(api.login(email) for _ in range(RACES)))
    races = [
        Race(n, shared_nodes, http, owner, device, await connect(shared_nodes[n % 2], device.access_token))
        for n, device in enumerate(devices)
    ]
    for start in range(0, RACES, 8):
        await asyncio.gather(*(race.run() for race in races[start : start + 8]))
    await asyncio.gather(*(race.is_over() for race in races))
    # Some refreshes came first and some too late, or this would have shown little.
    won = sum(len(race.refresh_tokens) > 1 for race in races)
    assert 0 < won < RACES
    assert (await owner.call("GET", "/sessions")).data["count"] == 1


@pytest.mark.parametrize("by", ["itself", "another device"])
@pytest.mark.parametrize("answered", ["before the count is reported", "while it is reported", "much later"])
async def test_a_socket_is_closed_whenever_its_own_question_is_answered(by: str, answered: str) -> None:
    """A device that ends itself is counted, answered and then closed: also when the answer comes early."""
    connections, sockets, socket = Connections(), Sockets(), connection("socket")
    connections.add(socket)
    answer = asyncio.Event()

    async def question() -> None:
        await answer.wait()

    async def report(_node: str, _user: str, message: dict[str, Any]) -> None:
        if answered == "while it is reported" and message["closed"]:
            answer.set()
            while socket.worker is not None:
                await asyncio.sleep(0)

    catch_up, _, endings = delivering(sockets, connections, send=report)
    socket.enqueue(question)
    if answered == "before the count is reported":
        answer.set()
        await asyncio.sleep(0)
    session_id = socket.session_id if by == "itself" else "other"
    by_whom = {"kind": "user", "sessionId": session_id}
    payload = {"at": iso(utc_now()), "reason": "revoked", "by": by_whom}
    await catch_up.take(Frame("user", 2, 0, "session-revoked", "session", None, "node:request", payload))
    await endings.close()
    answer.set()
    assert sockets.closed == ["socket"]


async def test_a_socket_that_cannot_be_told_is_closed_all_the_same() -> None:
    class Broken(Sockets):
        def leave_rooms(self, socket_id: str) -> None:
            raise KeyError(socket_id)

    connections, sockets = Connections(), Broken()
    connections.add(connection("socket"))
    catch_up, _, endings = delivering(sockets, connections)
    payload = {"at": iso(utc_now()), "reason": "admin", "by": {"kind": "system"}}
    await catch_up.take(Frame("user", 2, 0, "session-revoked", "session", None, "", payload))
    await endings.close()
    assert sockets.closed == ["socket"]
