"""A replica set of three members loses its primary while clients refresh."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.clients import Api, Login
from support.databases import memory
from support.nodes import Installation, Node, ServiceUrls
from support.replica_set import ReplicaSet, replica_set
from support.waiting import eventually

On = Callable[[Node], Api]
USERS, ROUNDS = 25, 12


@pytest.fixture(scope="module")
def members() -> Iterator[ReplicaSet]:
    with tempfile.TemporaryDirectory(dir=memory()) as folder, replica_set(Path(folder)) as own:
        yield own


@pytest.fixture(scope="module")
def on_the_set(members: ReplicaSet, services: ServiceUrls) -> Iterator[tuple[Installation, Node]]:
    installation = Installation(ServiceUrls(members.url, services.redis))
    node = installation.start()
    yield installation, node
    assert node.stop() == 0


async def until_answered(act: Callable[[], Awaitable[int]]) -> int:
    """Repeat a request while the server is unavailable, as clients do; return the status of the answer."""

    async def answered() -> int | None:
        status = await act()
        return None if status == 503 else status

    return await eventually(answered, "an answer other than 503", timeout=30, every=0.1)


async def test_nobody_is_logged_out_and_every_acknowledged_write_is_there_afterwards(
    members: ReplicaSet, on_the_set: tuple[Installation, Node], on: On
) -> None:
    installation, node = on_the_set
    api = on(node)
    email = await api.register()
    logins: list[Login] = [await api.login(email) for _ in range(USERS)]
    ended = [await api.login(email) for _ in range(USERS)]
    killed = asyncio.Event()

    async def refresh(login: Login) -> None:
        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                await killed.wait()

            async def once() -> int:
                return (await login.refresh()).status

            assert await until_answered(once) == 200

    async def end_each() -> None:
        for login in ended:

            async def once(session_id: str = login.session_id) -> int:
                return (await logins[0].call("DELETE", f"/sessions/{session_id}")).status

            # 404 after a revocation whose answer was lost in the failure.
            assert await until_answered(once) in {200, 404}

    async def kill() -> None:
        primary = await eventually(lambda: asyncio.to_thread(members.primary), "a primary", timeout=30)
        await asyncio.to_thread(members.kill, primary)
        killed.set()

    async with asyncio.TaskGroup() as group:
        for login in logins[1:]:
            group.create_task(refresh(login))
        group.create_task(end_each())
        group.create_task(kill())
    await eventually(lambda: asyncio.to_thread(members.primary), "a new primary", timeout=30)
    await refresh(logins[0])  # all of them by the new primary

    with members.client() as client:
        sessions = {each["_id"]: each for each in client[installation.name]["sessions"].find()}
    for login in logins:
        assert sessions[login.session_id]["generation"] == ROUNDS
        assert sessions[login.session_id]["revokedAt"] is None
    for login in ended:
        assert sessions[login.session_id]["revokedAt"] is not None
        assert (await login.refresh()).code == "session_revoked"
