"""Services of other teams, each a process that verifies Vigil's tokens."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.commands import bare_environ, node_packages
from support.nodes import ROOT

APPS = Path(__file__).parent / "apps"
NODE_APPS = ROOT / "tests" / "node-clients"


@dataclass
class Service:
    """A running service; `routes` are its protected ones."""

    name: str
    process: asyncio.subprocess.Process
    url: str
    routes: tuple[str, ...]


StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Starts a service by the file of its app; ends it after the test."""
    started: list[asyncio.subprocess.Process] = []

    async def start(file: str, *routes: str, **settings: str) -> Service:
        if file.endswith(".mjs"):
            await asyncio.to_thread(node_packages, "node-clients")
            command, folder = ("node", file), NODE_APPS
        else:
            command, folder = (sys.executable, file), APPS
        environ = bare_environ(**settings) | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "clients" / "python"), str(APPS)])
        }
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on "), f"{file}: {line}"
        return Service(file, process, f"http://127.0.0.1:{line.split()[-1]}", routes)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()
