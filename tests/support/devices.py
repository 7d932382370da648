"""Users with two devices: a laptop on one node, and a phone with a socket on another."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import aiohttp
import pytest

from auth.core.shards import shard_of
from realtime.broker.redis_keys import SLOT_OF
from support.clients import Api, Live, Login, Refused
from support.nodes import Node
from support.waiting import eventually

Connect = Callable[..., Awaitable[Live]]
# The rest is for a busy machine.
BACK_SECONDS = 30


class Devices:
    """A user's laptop on one node, and a phone with a socket on the other."""

    def __init__(self, laptop: Login, phone: Login, ended: Live) -> None:
        self.laptop = laptop
        self.phone = phone
        self.ended = ended

    @property
    def slot(self) -> int:
        return SLOT_OF[shard_of(self.laptop.data["user"]["userId"])]

    async def revoke(self) -> None:
        answer = await self.laptop.call("DELETE", f"/sessions/{self.phone.session_id}")
        assert answer.status == 200, answer.body

    async def is_refused(self, pair: Sequence[Node], http: aiohttp.ClientSession) -> bool:
        """Whether each node refuses the phone's token now."""
        answers = [await Api(node.url, http).call("GET", "/me", token=self.phone.access_token) for node in pair]
        return all(answer.status == 401 for answer in answers)

    async def is_over(self, pair: Sequence[Node], http: aiohttp.ClientSession) -> None:
        await self.ended.until_gone(timeout=BACK_SECONDS)
        for node in pair:
            answer = await Api(node.url, http).call("GET", "/me", token=self.phone.access_token)
            assert answer.code == "session_revoked"
            with pytest.raises(Refused) as refusal:
                await Live.connect(node.url, self.phone.access_token)
            assert refusal.value.data["code"] in {"session_revoked", "unavailable"}


async def devices(pair: Sequence[Node], http: aiohttp.ClientSession, connect: Connect) -> Devices:
    first, second = (Api(node.url, http) for node in pair)
    email = await first.register()
    laptop, phone = await first.login(email), await second.login(email)
    return Devices(laptop, phone, await connect(pair[1], phone.access_token))


async def works_again(one: Devices, pair: Sequence[Node], connect: Connect) -> None:
    """The user's devices can connect, after being told to repeat it perhaps, and are told of each other."""

    async def connected(node: Node, login: Login) -> Live:
        async def accepted() -> Live | None:
            with suppress(Refused):
                return await connect(node, login.access_token)
            return None

        return await eventually(accepted, "a handshake is accepted", timeout=BACK_SECONDS)

    seeing = await connected(pair[0], one.laptop)

    async def told() -> bool:
        phone = await one.laptop.api.login(one.laptop.data["user"]["email"])
        live = await connected(pair[1], phone)
        answer = await one.laptop.call("DELETE", f"/sessions/{phone.session_id}")
        await live.until_gone(timeout=BACK_SECONDS)
        return bool(answer.data["delivery"]["closed"] == 1)

    # A node that still listens to the former master notices within five seconds.
    await eventually(told, "the other node is told at once", timeout=BACK_SECONDS)
    await seeing.wait("sessions-changed", lambda e: e["change"] == "removed", timeout=BACK_SECONDS)
