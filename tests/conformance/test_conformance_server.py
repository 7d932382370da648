"""The server of these tests lets everybody in: nobody must be able to come by it unawares."""

import asyncio
import os
import re
import socket
import subprocess
import sys

import pytest
from conformance.servers import OURS, ROOT

# How a switch that turns authentication off might be called.
SWITCH = re.compile(r"no.?auth|allow.?all|everybody|insecure|anonymous|skip|disable|conformance", re.IGNORECASE)


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run it where it should refuse to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    return subprocess.run(
        [*OURS, *arguments], env=kept | settings, cwd=ROOT, capture_output=True, text=True, check=False
    )


def assert_refused(outcome: subprocess.CompletedProcess[str], *, naming: str) -> None:
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert len(outcome.stderr.splitlines()) == 1
    assert naming in outcome.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    assert_refused(run("--host", host, "--port", "0"), naming="loopback")


@pytest.mark.parametrize("engine_only", [(), ("--engine-only",)])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIGIL_PUBLIC_URL", "https://id.example.org"),
        ("VIGIL_SMTP_URL", "smtp://mail.example.org"),
        ("VIGIL_HOST", "0.0.0.0"),
    ],
)
def test_it_does_not_start_where_people_are_served(engine_only: tuple[str, ...], name: str, value: str) -> None:
    assert_refused(run("--port", "0", *engine_only, **{name: value}), naming=name)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(run("--port", port), naming=port)


async def test_it_ends_at_sigterm_with_clients_connected() -> None:
    process = await asyncio.create_subprocess_exec(*OURS, "--port", "0", cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b'"sid"')
    process.terminate()
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    writer.close()


def test_the_product_has_no_switch_for_it() -> None:
    """Neither an option of the command line nor a setting, and no part of it reaches for the tests."""
    for command in ([], ["serve"]):
        told = subprocess.run(
            [sys.executable, str(ROOT / "server.py"), *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not SWITCH.search(told.stdout)
    settings = re.findall(r"`(VIGIL_\w+)`", (ROOT / "docs/settings.md").read_text())
    assert settings
    assert [name for name in settings if SWITCH.search(name)] == []
    for file in [*ROOT.glob("*.py"), *ROOT.glob("auth/**/*.py"), *ROOT.glob("realtime/**/*.py")]:
        assert not re.search(r"^\s*(from|import) tests\b|conformance_server", file.read_text(), re.MULTILINE), file
