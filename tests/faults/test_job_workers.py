"""Processes that only run the background jobs, `server.py worker`, beside nodes that run none."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import Api
from support.commands import Running
from support.nodes import Installation
from support.waiting import eventually

APPLICATION = """
from realtime.application import Application

farewell = Application("farewell")


@farewell.on("enter")
async def enter(socket, data):
    await socket.enter("hall")
    return {}


@farewell.on_session_ended
async def tell(session):
    await farewell.emit("gone", {"sessionId": session.session_id}, room="hall")
"""

StartWorker = Callable[..., Running]


@pytest.fixture
def start_worker(installation: Installation) -> Iterator[StartWorker]:
    """Starts workers of the test's own installation; each ends as it should behind it."""
    started: list[Running] = []

    def start(**settings: str) -> Running:
        started.append(Running("worker", environ=installation.environ(**settings)))
        return started[-1]

    yield start
    assert [worker.stop() for worker in started] == [0] * len(started)


@pytest.fixture
def database(installation: Installation) -> Iterator[Any]:
    with MongoClient[Any](installation.services.mongo, tz_aware=True) as client:
        yield client[installation.name]


def let_its_time_come(database: Any, user_id: str) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    done = database["users"].update_one(
        {"_id": user_id, "deletionAt": {"$ne": None}}, {"$set": {"deletionAt": past}}
    )
    assert done.modified_count == 1


async def until_erased(database: Any, user_ids: list[str]) -> None:
    async def gone() -> bool:
        return database["users"].count_documents({"_id": {"$in": user_ids}}) == 0

    await eventually(gone, "the accounts are erased", timeout=20)


async def test_workers_erase_accounts_whose_time_has_come_each_once(
    start_node: Any, start_worker: StartWorker, database: Any, http: Any
) -> None:
    api = Api(start_node(VIGIL_JOBS="off").url, http)
    user_ids = []
    for _ in range(5):
        login = await api.login(await api.register())
        assert (await login.call("DELETE", "/me")).status == 200
        user_ids.append(login.data["user"]["userId"])
    kept = (await api.login(await api.register())).data["user"]["userId"]
    for user_id in user_ids:
        let_its_time_come(database, user_id)
    workers = [start_worker() for _ in range(3)]
    await until_erased(database, user_ids)
    for worker in workers:
        await asyncio.to_thread(worker.line, "working")

    def erased() -> list[str]:
        return sorted(event["userId"] for event in database["audit_events"].find({"kind": "account_erased"}))

    async def all_recorded() -> bool:
        return len(erased()) >= len(user_ids)

    await eventually(all_recorded, "each erasure is recorded", timeout=30)
    assert erased() == sorted(user_ids)
    # Facts name them by id for some days: that they are erased is one.
    for name in set(database.list_collection_names()) - {"audit_events", "facts"}:
        assert database[name].count_documents({"userId": {"$in": user_ids}}) == 0, name
    assert database["users"].count_documents({"_id": kept}) == 1


async def test_what_one_worker_had_begun_when_it_died_another_finishes(
    start_node: Any, start_worker: StartWorker, database: Any, http: Any
) -> None:
    api = Api(start_node(VIGIL_JOBS="off").url, http)
    login = await api.login(await api.register())
    await login.call("DELETE", "/me")
    user_id = login.data["user"]["userId"]
    let_its_time_come(database, user_id)
    # As a process leaves it that was killed over it, its claim just over.
    past = datetime.now(UTC) - timedelta(seconds=1)
    database["users"].update_one({"_id": user_id}, {"$set": {"erasingUntil": past, "lockedAt": past}})
    database["sessions"].delete_many({"userId": user_id})
    worker = start_worker()
    await until_erased(database, [user_id])
    await asyncio.to_thread(worker.line, "working")


async def test_sockets_and_the_application_hear_of_sessions_that_end_with_the_account(
    start_node: Any, start_worker: StartWorker, database: Any, http: Any, connect: Any, tmp_path: Path
) -> None:
    file = tmp_path / "farewell.py"
    file.write_text(APPLICATION)
    settings = {"VIGIL_APPLICATION": f"{file}:farewell"}
    node = start_node(VIGIL_JOBS="off", **settings)
    api = Api(node.url, http)
    email = await api.register()
    await (await api.login(email)).call("DELETE", "/me")
    login = await api.login(email)  # until its time comes the account is as before
    live = await connect(node, login.access_token)
    other = await api.login(await api.register())
    bystander = await connect(node, other.access_token, also=("farewell:gone",))
    assert (await bystander.ask("farewell:enter", {}))["ok"]
    let_its_time_come(database, login.data["user"]["userId"])
    start_worker(**settings)
    assert (await live.wait("session-revoked", timeout=20))["reason"] == "account_deleted"
    await live.until_gone()
    assert await bystander.wait("farewell:gone") == {"sessionId": login.session_id}
    await until_erased(database, [login.data["user"]["userId"]])


async def test_a_worker_that_is_interrupted_ends_well(start_worker: StartWorker) -> None:
    worker = start_worker()
    await asyncio.to_thread(worker.line, "working")
    worker.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(worker.process.wait, 10) == 0
