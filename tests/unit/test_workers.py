"""The keeper of workers, with small programs in their place."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from support.waiting import eventually

from auth.platform.metrics import SHARED_DIRECTORY
from runtime import workers

# Says that it listens and runs until its input ends, as a worker does; ends with status 3 if `broken` exists.
PROGRAM = """
import os, pathlib, sys
if pathlib.Path(sys.argv[1], "broken").exists():
    sys.exit(3)
print("listening", flush=True)
with open(pathlib.Path(sys.argv[1], "pids"), "a") as pids:
    pids.write(f"{os.getpid()}\\n")
sys.stdin.read()
"""


class Running:
    """A keeper of two workers that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop, self.reload = asyncio.Event(), asyncio.Event()
        command = [sys.executable, "-S", "-c", PROGRAM, str(folder)]
        environ = {SHARED_DIRECTORY: str(folder)}
        run = workers.run_workers(command, environ, 2, stop=self.stop, reload=self.reload)
        self.task = asyncio.create_task(run)

    @property
    def pids(self) -> list[int]:
        """All workers that have served, in order."""
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (self.folder / "pids").read_text().splitlines()]
        return []

    async def until_served(self, count: int) -> list[int]:
        async def served() -> bool:
            return len(self.pids) >= count

        await eventually(served, f"{count} workers have served", timeout=30)
        return self.pids


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(workers, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(workers, "MOST_RESTART_SECONDS", 0.03)
    keeper = Running(tmp_path)
    yield keeper
    keeper.stop.set()
    assert await keeper.task == 0


def events(logged: list[Any], name: str) -> list[dict[str, Any]]:
    return [dict(event) for event in logged if event["event"] == name]


async def test_one_that_dies_again_and_again_is_restarted_later_each_time(running: Running) -> None:
    await running.until_served(2)
    with structlog.testing.capture_logs() as logged:
        for served in range(2, 6):
            os.kill((await running.until_served(served))[-1], signal.SIGKILL)
        await running.until_served(6)
    deaths = events(logged, "worker_died")
    assert [death["status"] for death in deaths] == [-signal.SIGKILL] * 4
    assert [death["restart_seconds"] for death in deaths] == [0.01, 0.02, 0.03, 0.03]


async def test_after_it_has_lived_for_long_it_is_restarted_soon_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STEADY_SECONDS", 0.0)
    with structlog.testing.capture_logs() as logged:
        for served in range(2, 5):
            os.kill((await running.until_served(served))[-1], signal.SIGKILL)
        await running.until_served(5)
    assert [death["restart_seconds"] for death in events(logged, "worker_died")] == [0.01] * 3


async def test_a_reload_whose_workers_do_not_start_changes_nothing(running: Running) -> None:
    before = await running.until_served(2)
    (running.folder / "broken").touch()
    with structlog.testing.capture_logs() as logged:
        running.reload.set()

        async def tried() -> bool:
            return bool(events(logged, "workers_replaced"))

        await eventually(tried, "the reload is over", timeout=30)
    assert [event["status"] for event in events(logged, "worker_not_replaced")] == [3, 3]
    assert events(logged, "workers_replaced")[0]["replaced"] == 0
    assert running.pids == before
    for pid in before:
        os.kill(pid, 0)


async def test_a_reload_replaces_each_and_none_counts_as_dead(running: Running) -> None:
    before = await running.until_served(2)
    with structlog.testing.capture_logs() as logged:
        running.reload.set()
        await running.until_served(4)

        async def replaced() -> bool:
            return bool(events(logged, "workers_replaced"))

        await eventually(replaced, "the reload is over", timeout=30)
    assert events(logged, "worker_died") == []
    for pid in before:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
