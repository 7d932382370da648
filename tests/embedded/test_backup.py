"""Backup and restore of the embedded services as docs/operations.md describes it: a copy of the data directory."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from support.clients import Api, Login
from support.commands import bare_environ, run_command
from support.nodes import Node, start_node
from support.secured import secure


@pytest.fixture
def on(http: aiohttp.ClientSession) -> Callable[[Node], Api]:
    return lambda node: Api(node.url, http)


async def start(data_dir: Path) -> Node:
    environ = bare_environ(
        VIGIL_DATA_DIR=str(data_dir),
        VIGIL_PORT="0",
        VIGIL_PUBLIC_URL="http://127.0.0.1:8000",
        VIGIL_RATE_LIMITS="off",
    )
    return await asyncio.to_thread(start_node, environ)


async def stop(node: Node) -> None:
    assert await asyncio.to_thread(node.stop) == 0


async def test_a_restored_copy_has_accounts_factors_and_keys_and_no_session_that_was_ended_since(
    tmp_path: Path, on: Callable[[Node], Api]
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    node = await start(data)
    account = await secure(on(node))
    ended = await on(node).login(email := await on(node).register())
    await stop(node)
    shutil.copytree(data, backup)

    node = await start(data)
    ended.api = on(node)
    assert (await ended.call("POST", "/logout-all")).status == 200
    lost = await on(node).register()
    await stop(node)
    shutil.rmtree(data)
    shutil.copytree(backup, data)

    # Before the nodes are reachable again: the copy does not know that the session has ended.
    done = await asyncio.to_thread(run_command, "revoke", "--all", environ=bare_environ(VIGIL_DATA_DIR=str(data)))
    assert (done.status, done.out) == (0, "ended 2 sessions of 2 accounts\n"), done
    node = await start(data)
    api = on(node)
    ended.api = api
    assert (await ended.refresh()).code == "session_revoked"
    assert isinstance(await api.login(email), Login)
    account.api = api
    answer = {"mfaToken": await account.begin(), "code": await account.app.code()}
    assert (await api.call("POST", "/2fa/verify", answer)).status == 200
    login = {"email": lost, "password": "a quiet harbour at dusk"}
    assert (await api.call("POST", "/login", login)).code == "invalid_credentials"
    await stop(node)
