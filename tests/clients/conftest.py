"""Services of other teams, each a process that verifies Vigil's tokens."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from support.commands import bare_environ, node_packages
from support.nodes import ROOT

APPS = Path(__file__).parent / "apps"
NODE_APPS = ROOT / "tests" / "node-clients"
NEXT = ("node", "node_modules/next/dist/bin/next")
LISTENING = re.compile(r"(?:listening on |- Local: +http://127\.0\.0\.1:)(\d+)$")


@dataclass
class Service:
    """A running service; `routes` are its protected ones."""

    name: str
    process: asyncio.subprocess.Process
    url: str
    routes: tuple[str, ...]


StartService = Callable[..., Awaitable[Service]]


@cache
def built_next_app() -> Path:
    """Return the folder of the Next.js app, built with vigil-verify as users install it: as a copy."""
    packages = node_packages("next-app")
    shutil.rmtree(packages / "vigil-verify", ignore_errors=True)
    shutil.copytree(ROOT / "clients" / "node", packages / "vigil-verify")
    folder = packages.parent
    environ = bare_environ(NEXT_TELEMETRY_DISABLED="1")
    built = subprocess.run([*NEXT, "build"], cwd=folder, env=environ, capture_output=True, text=True, timeout=150)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


async def command_of(name: str) -> tuple[tuple[str, ...], Path]:
    """Return the command that starts a service, and its folder."""
    if name == "next":
        return (*NEXT, "start", "--hostname", "127.0.0.1", "--port", "0"), await asyncio.to_thread(built_next_app)
    if name.endswith(".mjs"):
        await asyncio.to_thread(node_packages, "node-clients")
        return ("node", name), NODE_APPS
    return (sys.executable, name), APPS


async def port_of(process: asyncio.subprocess.Process) -> int:
    """Wait until a service prints its port."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            lines.append(line)
            if found := LISTENING.match(line.strip()):
                return int(found[1])
    raise AssertionError("".join(lines))


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Starts a service: the file of its app, or `next`; ends it after the test."""
    started: list[asyncio.subprocess.Process] = []

    async def start(name: str, *routes: str, **settings: str) -> Service:
        command, folder = await command_of(name)
        environ = bare_environ(**settings) | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "clients" / "python"), str(APPS)]),
            "NEXT_TELEMETRY_DISABLED": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return Service(name, process, f"http://127.0.0.1:{await port_of(process)}", routes)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()
