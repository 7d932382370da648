"""`make soak`: draws faults at random, and checks what each client saw; see docs/reliability.md."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from support.breakable import Stores
from support.clients import Login
from support.databases import memory
from support.nodes import Installation, Node, ServiceUrls
from support.waiting import eventually

from bench.faults.device import PATIENCE_SECONDS, Device, Seen
from bench.faults.world import GIVE_UP_SECONDS, World, answered

NODES = 3
USERS = 6
DEVICES = 3
# Ends and replaces one device of a user so often.
CHURN_SECONDS = 6.0
SETTLE_SECONDS = 30.0
KINDS = ("redis killed", "redis frozen", "redis cut", "mongo killed", "mongo frozen", "node killed", "node frozen")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, to which of the nodes if to one, for how long, and the pause after it, in seconds."""

    kind: str
    node: int
    seconds: float
    pause: float

    def __str__(self) -> str:
        return f"{self.kind} for {self.seconds:.1f} s" + (f", node {self.node}" if "node" in self.kind else "")


def draw(seed: int, seconds: float) -> Iterator[Fault]:
    """The faults of a run of `seconds`; always the same for a seed."""
    chance = random.Random(seed)  # noqa: S311 - a sequence that can be repeated
    while seconds > 0:
        fault = Fault(chance.choice(KINDS), chance.randrange(NODES), chance.uniform(1, 15), chance.uniform(4, 12))
        seconds -= fault.seconds + fault.pause
        yield fault


class Soak:
    """Three nodes, the first behind a proxy to Redis, and users whose devices come and go."""

    def __init__(self, world: World, stores: Stores, seed: int) -> None:
        self._world = world
        self._stores = stores
        self._way = stores.way_to(stores.redis.url)
        plain = stores.installation()
        proxied = Installation(ServiceUrls(stores.mongo.url, self._way.url), name=plain.name)
        self._installations = [proxied, *[plain] * (NODES - 1)]
        self._chance = random.Random(seed)  # noqa: S311 - as above
        self.nodes: list[Node] = []
        self.seen = Seen()
        self.devices: list[Device] = []

    async def run(self, faults: Iterator[Fault]) -> None:
        """Run the faults one after another; what was seen is in `seen` afterwards."""
        for installation in self._installations:
            self.nodes += await self._world.start(installation, 1)
        users = [await self._new_user() for _ in range(USERS)]
        churning = [asyncio.create_task(self._churn(*each)) for each in users]
        for fault in faults:
            sys.stderr.write(f"{fault}\n")
            self.seen.begin_fault()
            await self._cause(fault)
            self.seen.end_fault()
            await asyncio.sleep(fault.pause)
            self._raise_failure(churning)
        for task in churning:
            task.cancel()
        await self._settle()

    def _raise_failure(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        for task in [*tasks, *(device.task for device in self.devices)]:
            if task.done() and not task.cancelled():
                task.result()

    async def _cause(self, fault: Fault) -> None:
        part, what = fault.kind.split()
        node = self.nodes[fault.node]
        service = self._stores.mongo if part == "mongo" else self._stores.redis
        match part, what:
            case _, "cut":
                self._way.hold()
                await asyncio.sleep(fault.seconds)
                self._way.let_through()
            case "node", "killed":
                await asyncio.to_thread(node.kill)
                await asyncio.sleep(fault.seconds)
                [self.nodes[fault.node]] = await self._world.start(self._installations[fault.node], 1)
            case "node", "frozen":
                node.freeze()
                await asyncio.sleep(fault.seconds)
                node.thaw()
            case _, "killed":
                await asyncio.to_thread(service.kill)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(service.start)
            case _:
                service.freeze()
                await asyncio.sleep(fault.seconds)
                service.thaw()

    async def _new_user(self) -> tuple[Device, list[Device]]:
        api = self._world.on(self.nodes[0])
        email = await api.register()
        first, *others = [self._device(await api.login(email)) for _ in range(DEVICES)]
        return first, others

    def _device(self, login: Login) -> Device:
        device = Device(self._world, self.nodes, login, self.seen)
        self.devices.append(device)
        return device

    async def _churn(self, first: Device, others: list[Device]) -> None:
        """End one of the other devices again and again, and log in another one."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * CHURN_SECONDS)
            await self._end(others.pop(0), first)
            login = await eventually(lambda: self._log_in(first), "a login succeeds", timeout=GIVE_UP_SECONDS)
            others.append(self._device(login))

    async def _end(self, device: Device, by: Device) -> None:
        device.may_end = True
        answer = await answered(lambda: by.ask("DELETE", f"/sessions/{device.login.session_id}"))
        # 404 after a revocation whose answer was lost.
        assert answer.status in {200, 404}, answer.body
        device.end_at(time.monotonic())

    async def _log_in(self, beside: Device) -> Login | None:
        api = self._world.on(self._chance.choice(self.nodes))
        with suppress(AssertionError, aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await api.login(beside.login.data["user"]["email"])
        return None

    async def _settle(self) -> None:
        """Wait until every device that is left has the same list as the server, and end."""
        live = [device for device in self.devices if not device.may_end]
        end = time.monotonic() + SETTLE_SECONDS
        while behind := [device for device in live if not await device.is_up_to_date()]:
            if time.monotonic() > end:
                self.seen.violations += [f"{device.name}: never up to date again" for device in behind]
                break
            await asyncio.sleep(1)
        for device in self.devices:
            device.task.cancel()
        await asyncio.gather(*(device.task for device in self.devices), return_exceptions=True)


async def soak(minutes: float, seed: int) -> Seen:
    """Run; return what was seen."""
    with tempfile.TemporaryDirectory(prefix="vigil-soak-", dir=memory()) as folder:
        async with World(Path(folder)) as world:
            run = Soak(world, world.stores(), seed)
            await run.run(draw(seed, minutes * 60))
            run.seen.violations += world.tracebacks()
            return run.seen


def main(arguments: Sequence[str]) -> int:
    """Run, print what was seen, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the faults of another run")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(f"seed {chosen.seed}\n")
    seen = asyncio.run(soak(chosen.minutes, chosen.seed))
    sys.stdout.write(f"{seen}\n" + "".join(f"broken: {each}\n" for each in seen.violations))
    return 1 if seen.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
