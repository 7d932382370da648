"""The commands beside `serve`: services in the foreground, the first administrator, mail sent by a worker."""

import asyncio
import json
import re
import signal
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiosmtpd.smtp import SMTP
from pymongo import MongoClient
from support.clients import Api
from support.commands import Ended, Running, bare_environ, run_command
from support.mailbox import mailed
from support.nodes import Installation, Node, ServiceUrls, start_node
from support.secured import secure
from support.waiting import eventually

On = Callable[[Node], Api]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def embedded_environ(data_dir: Path) -> dict[str, str]:
    return bare_environ(VIGIL_DATA_DIR=str(data_dir), VIGIL_PORT="0", VIGIL_PUBLIC_URL="http://127.0.0.1:8000")


def events_logged(ended: Ended) -> list[str]:
    """What is on standard error, which is log and nothing else."""
    return [json.loads(line)["event"] for line in ended.err.splitlines()]


@pytest.fixture(scope="module")
def embedded_node(data_dir: Path) -> Iterator[Node]:
    """A server as `make run` starts it: with services of its own."""
    node = start_node(embedded_environ(data_dir))
    yield node
    assert node.stop() == 0
    assert not (data_dir / "services.json").exists()


async def test_beside_a_running_server_a_role_is_granted_on_its_services(
    embedded_node: Node, data_dir: Path, on: On
) -> None:
    api, environ = on(embedded_node), embedded_environ(data_dir)
    email = await api.register()
    login = await api.login(email)
    done = await asyncio.to_thread(run_command, "grant", email, "admin", environ=environ)
    assert (done.status, done.out) == (0, f"{email} has the roles: admin\n"), done
    assert "roles_changed" in events_logged(done)
    assert (await login.refresh()).status == 200
    assert (await login.call("GET", "/me")).data["user"]["roles"] == ["admin"]
    nobody = await asyncio.to_thread(run_command, "grant", "nobody@example.org", "admin", environ=environ)
    assert (nobody.status, nobody.out) == (1, "")
    assert nobody.err == "there is no account with the address nobody@example.org\n"
    # Where they are is for the eyes of the owner only: the URLs have passwords in them.
    assert stat.S_IMODE((data_dir / "services.json").stat().st_mode) == 0o600


async def test_beside_a_running_server_lost_factors_are_taken_off_and_its_sessions_end(
    embedded_node: Node, data_dir: Path, on: On
) -> None:
    account, environ = await secure(on(embedded_node)), embedded_environ(data_dir)
    done = await asyncio.to_thread(run_command, "factors", "remove", account.email.upper(), environ=environ)
    assert (done.status, done.out) == (0, "removed: totp; sessions ended: 1\n"), done
    events_logged(done)
    assert (await account.login.call("GET", "/me")).code == "session_revoked"
    assert (await account.api.login(account.email)).data["session"]["amr"] == ["pwd"]
    await mailed(account.api, account.email, re.compile("(the operator of this service)"))
    again = await asyncio.to_thread(run_command, "factors", "remove", account.email, environ=environ)
    assert (again.status, again.out) == (0, "removed: nothing; sessions ended: 0\n"), again
    nobody = await asyncio.to_thread(run_command, "factors", "remove", "nobody@example.org", environ=environ)
    assert (nobody.status, nobody.err) == (1, "there is no account with the address nobody@example.org\n")


async def test_beside_a_running_server_its_keys_are_rotated(
    embedded_node: Node, data_dir: Path, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{embedded_node.url}/.well-known/jwks.json") as answer:
        following = (await answer.json())["keys"][1]["kid"]
    done = await asyncio.to_thread(run_command, "keys", "rotate", environ=embedded_environ(data_dir))
    assert (done.status, done.out, done.err) == (0, f"signing with {following}\n", ""), done


def test_a_second_server_is_refused_and_the_first_one_is_not_disturbed(
    embedded_node: Node, data_dir: Path
) -> None:
    ended = run_command(environ=embedded_environ(data_dir))
    assert ended.status == 2
    assert ended.err.startswith("vigil: the data directory is in use by process ")
    assert len(ended.err.splitlines()) == 1
    assert (data_dir / "services.json").exists()


async def test_behind_a_killed_server_its_note_misleads_nobody(tmp_path: Path, on: On) -> None:
    environ = embedded_environ(tmp_path)
    node = await asyncio.to_thread(start_node, environ)
    email = await on(node).register()
    node.kill()
    assert (tmp_path / "services.json").exists()
    done = await asyncio.to_thread(run_command, "grant", email, "admin", environ=environ)
    assert (done.status, done.out) == (0, f"{email} has the roles: admin\n"), done
    assert not (tmp_path / "services.json").exists()


async def test_services_prints_two_lines_and_a_node_works_with_them(tmp_path: Path, on: On) -> None:
    services = Running("services", environ=bare_environ(VIGIL_DATA_DIR=str(tmp_path)))
    try:
        redis = await asyncio.to_thread(services.line, "VIGIL_REDIS_URL=")
        urls = ServiceUrls(services.line("VIGIL_MONGO_URL="), redis)
        assert len(services.lines) == 2
        node = await asyncio.to_thread(Installation(urls, is_as_shipped=True).start)
        login = await on(node).login(await on(node).register())
        assert (await login.call("GET", "/me")).status == 200
        assert await asyncio.to_thread(node.stop) == 0
    finally:
        status = await asyncio.to_thread(services.stop)
    assert status == 0
    assert len(services.lines) == 2


class Mailbox:
    """A mail server that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, str]]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    yield box, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_where_the_node_runs_no_jobs_the_worker_sends_the_mail(
    services: ServiceUrls, on: On, mailbox: tuple[Mailbox, str]
) -> None:
    box, smtp_url = mailbox
    installation = Installation(services, is_as_shipped=True)
    settings = {"VIGIL_SMTP_URL": smtp_url, "VIGIL_DEV_OUTBOX": "off", "VIGIL_JOBS": "off"}
    node = await asyncio.to_thread(lambda: installation.start(**settings))
    await on(node).register("ada@example.org", verify=False)
    await asyncio.sleep(1)
    assert not box.mails  # nobody is there to send it
    worker = Running("worker", environ=installation.environ(**settings))
    try:
        await asyncio.to_thread(worker.line, "working")

        async def sent() -> bool:
            return [mail.rcpt_tos for mail in box.mails] == [["ada@example.org"]]

        await eventually(sent, "the worker sends it", timeout=20)
        worker.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(worker.process.wait, 10) == 0
    finally:
        await asyncio.to_thread(worker.stop)
    assert await asyncio.to_thread(node.stop) == 0
    with MongoClient[Any](services.mongo) as client:
        client.drop_database(installation.name)
