"""`--workers`: several processes on one port that live and die together."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient
from support.clients import Api, Live
from support.nodes import Installation, Node, ServiceUrls
from support.waiting import Stopwatch, eventually

Connect = Callable[..., Awaitable[Live]]


@pytest.fixture(scope="module")
def installation_of_workers(services: ServiceUrls) -> Iterator[Installation]:
    installation = Installation(services, is_as_shipped=True)
    yield installation
    with MongoClient[Any](services.mongo) as client:
        client.drop_database(installation.name)


@pytest.fixture
def two_workers(installation_of_workers: Installation) -> Iterator[Node]:
    node = installation_of_workers.start("serve", "--workers", "2")
    yield node
    node.stop()


def workers_of(node: Node) -> list[int]:
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
    return sorted(int(pid) for pid in children.read_text().split())


def runs(pid: int) -> bool:
    """Not a zombie either: nobody may be there to reap it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def connections_of(pid: int) -> int:
    """How many sockets of the system a process has open."""
    with contextlib.suppress(OSError):
        return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
    return 0


async def pids_served(node: Node, count: int = 40) -> set[int]:
    """Which workers answer: those that have more connections while we hold many that were answered."""
    before = {pid: connections_of(pid) for pid in workers_of(node)}
    held = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(node))
            held.append(writer)
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readline()
    served = {pid for pid, had in before.items() if connections_of(pid) > had}
    for writer in held:
        writer.close()
    return served


async def metrics_of(node: Node) -> dict[str, float]:
    """The samples of one answer, by name and labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def port_of(node: Node) -> int:
    return int(node.url.rpartition(":")[2])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def test_they_say_once_that_they_listen_and_both_serve_sockets(
    two_workers: Node, http: aiohttp.ClientSession, connect: Connect
) -> None:
    assert [line for line in two_workers.log if line.startswith("listening on ")] == [
        f"listening on {two_workers.url}"
    ]
    assert len(workers_of(two_workers)) == 2

    async def both() -> bool:
        return len(await pids_served(two_workers)) == 2

    await eventually(both, "both workers answer", timeout=30)
    api = Api(two_workers.url, http)
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    seeing = await connect(two_workers, laptop.access_token)
    lives = [await connect(two_workers, phone.access_token) for _ in range(8)]
    ack = await seeing.ask("session-revoke", {"sessionId": phone.session_id})
    delivery = ack["delivery"]  # over both workers; on a busy machine the second may not do for all
    assert (delivery["sockets"], delivery["notified"]) == (8, 8)
    assert delivery["closed"] + delivery["pending"] == 8
    for live in lives:
        assert (await live.wait("session-revoked"))["reason"] == "revoked"
        await live.until_gone()
    # Long polling would need the same worker each time: it is not offered.
    async with http.get(f"{two_workers.url}/socket.io/?EIO=4&transport=polling") as answer:
        assert answer.status == 400


async def test_whichever_worker_is_asked_it_tells_what_all_of_them_counted(
    two_workers: Node, http: aiohttp.ClientSession, connect: Connect
) -> None:
    api = Api(two_workers.url, http)
    login = await api.login(await api.register())
    lives = [await connect(two_workers, login.access_token) for _ in range(12)]
    answers = [await metrics_of(two_workers) for _ in range(8)]
    assert [answer["vigil_sockets"] for answer in answers] == [12] * 8
    assert {answer['vigil_logins_total{outcome="success"}'] for answer in answers} == {1}
    assert {answer['vigil_handshakes_total{outcome="ok"}'] for answer in answers} == {12}
    memory = sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for pid in workers_of(two_workers)
    )
    assert answers[-1]["process_resident_memory_bytes"] == pytest.approx(memory, rel=0.2)
    # What a dead worker counted stays; its sockets are gone with it.
    os.kill(workers_of(two_workers)[0], signal.SIGKILL)
    kept = [live for live in lives if live.client.connected]

    async def settled() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            now = await metrics_of(two_workers)
            kept[:] = [live for live in lives if live.client.connected]
            return now["vigil_sockets"] == len(kept) < 12 and now['vigil_logins_total{outcome="success"}'] == 1
        return False

    await eventually(settled, "the dead worker's sockets are counted no more", timeout=20)


async def test_one_that_is_killed_is_started_again_and_the_other_serves_meanwhile(
    two_workers: Node, http: aiohttp.ClientSession
) -> None:
    killed, kept = workers_of(two_workers)
    os.kill(killed, signal.SIGKILL)

    async def replaced() -> bool:
        now = workers_of(two_workers)
        return len(now) == 2 and killed not in now and len(await pids_served(two_workers)) == 2

    await eventually(replaced, "a new worker serves", timeout=20, every=0.3)
    assert kept in workers_of(two_workers)
    assert two_workers.process.poll() is None


async def test_when_their_parent_is_killed_they_go_and_the_port_is_free(two_workers: Node) -> None:
    workers = workers_of(two_workers)
    watch = Stopwatch()
    two_workers.kill()

    async def gone() -> bool:
        return not any(map(runs, workers)) and port_is_free(port_of(two_workers))

    await eventually(gone, "the workers are gone", timeout=30)
    assert watch.seconds < 10


async def test_on_sighup_each_is_replaced_while_the_others_serve(
    two_workers: Node, http: aiohttp.ClientSession, connect: Connect
) -> None:
    api = Api(two_workers.url, http)
    login = await api.login(await api.register())
    lives = [await connect(two_workers, login.access_token) for _ in range(8)]
    before = workers_of(two_workers)
    two_workers.process.send_signal(signal.SIGHUP)

    async def replaced() -> bool:
        now = workers_of(two_workers)
        assert len(set(now)) >= 2, "fewer workers than before"
        return len(now) == 2 and not set(now) & set(before)

    await eventually(replaced, "both workers are others", timeout=30)
    await two_workers.logged("workers_replaced")
    for live in lives:
        await live.until_gone()
        assert live.all("draining")
    assert not any("worker_died" in line for line in two_workers.log)
    assert (await login.refresh()).status == 200
    await connect(two_workers, login.access_token)
    # What the replaced workers counted is kept, their sockets are not.
    metrics = await metrics_of(two_workers)
    assert metrics['vigil_logins_total{outcome="success"}'] == 1
    assert metrics["vigil_sockets"] == 1
    assert await asyncio.to_thread(two_workers.stop, 12) == 0


async def test_told_to_stop_all_stop_in_ten_seconds(
    two_workers: Node, http: aiohttp.ClientSession, connect: Connect
) -> None:
    api = Api(two_workers.url, http)
    login = await api.login(await api.register())
    lives = [await connect(two_workers, login.access_token) for _ in range(20)]
    workers = workers_of(two_workers)
    watch = Stopwatch()
    assert await asyncio.to_thread(two_workers.stop, 12) == 0
    assert watch.seconds < 10
    assert not any(map(runs, workers))
    for live in lives:
        await live.until_gone()
        assert live.all("draining")
    assert port_is_free(port_of(two_workers))
