"""The bench's child processes: what they say is told when they fail, and none outlives the run."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bench.accounting import Cores
from bench.client import LoadError
from bench.peers import ROOT, install_node_peer, python_peer
from bench.processes import Child, run, spawn

CORES = frozenset(os.sched_getaffinity(0))


async def start(script: str, cores: frozenset[int] = CORES) -> Child:
    command = (sys.executable, "-c", script)
    return await spawn(command, name="the server", environ=os.environ, cores=cores, cwd=Path.cwd())


async def test_a_server_is_ready_when_it_says_so() -> None:
    child = await start("print('hello'); print('listening on here', flush=True); input()")
    assert await child.wait_for("listening on ") == "here"
    assert "hello" in child.said()
    child.follow()
    await child.stop()


async def test_a_server_that_does_not_start_is_quoted() -> None:
    child = await start("raise SystemExit('no port left')")
    with pytest.raises(LoadError, match="the server did not start:\nno port left"):
        await child.wait_for("listening on ")
    await child.stop()


async def test_a_server_that_has_died_is_noticed() -> None:
    child = await start("print('listening on here', flush=True); raise SystemExit(3)")
    await child.wait_for("listening on ")
    child.follow()
    await child.stop()
    with pytest.raises(LoadError, match="ended with"):
        child.check()


async def test_a_child_runs_on_its_core() -> None:
    core = min(CORES)
    child = await start("import os; print('cores', *os.sched_getaffinity(0))", frozenset({core}))
    assert await child.wait_for("cores ") == str(core)
    await child.stop()


async def test_a_child_goes_when_the_run_is_cancelled() -> None:
    child = await start("import time; print('up', flush=True); time.sleep(600)")
    await child.wait_for("up")

    async def serve() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await child.stop()

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(LoadError, match="ended with -15"):
        child.check()


async def test_a_command_that_fails_is_quoted() -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such session')")
    with pytest.raises(LoadError, match="mint ended with 1:\nno such session"):
        await run(command, name="mint", environ=os.environ, cores=CORES, cwd=Path.cwd())


async def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(LoadError, match="there is no nosuchprogram"):
        await run(("nosuchprogram",), name="mint", environ=os.environ, cores=CORES, cwd=Path.cwd())


async def test_without_node_it_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LoadError, match=r"node is missing: .*--peers vigil,stock"):
        await install_node_peer(Cores.choose())


def test_the_server_and_the_load_have_cores_of_their_own_where_there_are_two() -> None:
    cores = Cores.choose()
    assert cores.server
    assert cores.load
    assert len(os.sched_getaffinity(0)) == 1 or not cores.server & cores.load


def test_a_python_peer_is_three_files_that_are_there() -> None:
    for folder, prefix in (("peer_vigil", "vigil"), ("peer-stock", "stock")):
        peer = python_peer(prefix, prefix, ROOT / "bench" / folder, prefix)
        assert all(Path(command[1]).is_file() for command in (peer.serve, peer.seed, peer.mint))
