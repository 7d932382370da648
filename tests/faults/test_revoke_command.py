"""`server.py revoke` beside a running node: what it ends, whom it tells, and what it prints and records."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import Api, Live
from support.commands import Ended, run_command
from support.nodes import Installation, Node, ServiceUrls, drop
from support.session_world import make_session

from auth.core.clock import utc_now
from auth.stores.sessions.documents import document_of
from runtime.commands import main
from runtime.operator_commands import PROGRESS_ACCOUNTS

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]


@pytest.fixture(scope="module")
def installed(services: ServiceUrls) -> Iterator[Installation]:
    installation = Installation(services)
    yield installation
    drop(services, installation.name)


@pytest.fixture(scope="module")
def running(installed: Installation) -> Iterator[Node]:
    node = installed.start()
    yield node
    assert node.stop() == 0


async def revoke(installed: Installation, *arguments: str, **settings: str) -> Ended:
    environ = installed.environ(**settings)
    return await asyncio.to_thread(run_command, "revoke", *arguments, environ=environ)


def recorded(installed: Installation) -> list[dict[str, str]]:
    """The records of the command in the audit trail, oldest first."""
    with MongoClient[Any](installed.services.mongo) as client:
        found = client[installed.name]["audit_events"].find({"kind": "sessions_revoked_by_operator"}).sort("at", 1)
        return [event["details"] for event in found]


async def test_the_sessions_of_one_user_end_and_their_devices_are_told(
    running: Node, installed: Installation, on: On, connect: Connect
) -> None:
    email = await on(running).register()
    phone, laptop = await on(running).login(email), await on(running).login(email)
    other = await on(running).login(await on(running).register())
    live = await connect(running, phone.access_token)
    done = await revoke(installed, "--user", email.upper())
    assert (done.status, done.out) == (0, "ended 2 sessions of 1 accounts\n"), done
    told = await live.wait("session-revoked")
    assert (told["reason"], told["by"]["kind"]) == ("admin", "system")
    await live.until_gone()
    for login in (phone, laptop):
        assert (await login.refresh()).code == "session_revoked"
    assert (await other.refresh()).status == 200

    again = await on(running).login(email)
    user_id = (await again.call("GET", "/me")).data["user"]["userId"]
    done = await revoke(installed, "--user", user_id)
    assert (done.status, done.out) == (0, "ended 1 sessions of 1 accounts\n"), done
    assert (await again.refresh()).code == "session_revoked"
    assert recorded(installed)[-2:] == [
        {"userId": user_id, "sessions": "2", "accounts": "1"},
        {"userId": user_id, "sessions": "1", "accounts": "1"},
    ]
    nobody = await revoke(installed, "--user", "nobody@example.org")
    assert (nobody.status, nobody.out) == (1, "")
    assert nobody.err == "there is no account with the id or address nobody@example.org\n"


async def test_only_sessions_started_by_the_time_end(running: Node, installed: Installation, on: On) -> None:
    email = await on(running).register()
    earlier = await on(running).login(email)
    between = utc_now()
    later = await on(running).login(email)
    done = await revoke(installed, "--before", between.isoformat())
    assert done.status == 0, done
    assert (await earlier.refresh()).code == "session_revoked"
    assert (await later.refresh()).status == 200
    assert recorded(installed)[-1]["startedBy"] == between.isoformat()


async def test_asvs_7_4_5_everybody_is_logged_out_and_the_progress_is_printed(
    running: Node, installed: Installation, on: On, connect: Connect
) -> None:
    login = await on(running).login(await on(running).register())
    live = await connect(running, login.access_token)
    now = utc_now()
    crowd = [
        document_of(replace(make_session(now), user_id=secrets.token_hex(12))) for _ in range(PROGRESS_ACCOUNTS)
    ]
    with MongoClient[Any](installed.services.mongo) as client:
        client[installed.name]["sessions"].insert_many(crowd)
    done = await revoke(installed, "--all")
    assert done.status == 0, done
    *progress, last = done.out.splitlines()
    assert len(progress) == 1
    assert progress[0].endswith(f" of {PROGRESS_ACCOUNTS} accounts so far")
    assert int(last.split()[4]) > PROGRESS_ACCOUNTS
    await live.wait("session-revoked")
    assert (await login.refresh()).code == "session_revoked"
    with MongoClient[Any](installed.services.mongo) as client:
        assert client[installed.name]["sessions"].count_documents({"revokedAt": None}) == 0
    assert recorded(installed)[-1]["accounts"] == last.split()[4]
    again = await revoke(installed, "--all")
    assert (again.status, again.out) == (0, "ended 0 sessions of 0 accounts\n")


async def test_if_the_command_does_not_reach_redis_a_running_node_tells_the_devices(
    running: Node, installed: Installation, on: On, connect: Connect
) -> None:
    login = await on(running).login(await on(running).register())
    live = await connect(running, login.access_token)
    done = await revoke(installed, "--all", VIGIL_REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.status, done.out) == (0, "ended 1 sessions of 1 accounts\n"), done
    told = await live.wait("session-revoked", timeout=30)
    assert told["reason"] == "admin"


@pytest.mark.parametrize(
    ("time", "said"),
    [("soon", "'soon' is not a time"), ("9999-01-01T00:00:00+00:00", "is in the future")],
)
def test_a_time_that_cannot_be_meant_is_refused(time: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["revoke", "--before", time])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
