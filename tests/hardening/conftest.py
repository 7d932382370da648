"""A node to be attacked, one who lives on it meanwhile, and the library as it comes, to be attacked beside it."""

import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clients import Login, new_login
from support.nodes import ROOT, Node, ServiceUrls, probed_node
from support.raw_socket import RawSocket
from support.waiting import eventually


@pytest.fixture(scope="session")
def attacked(services: ServiceUrls) -> Iterator[Node]:
    """A node of its own with the probe application; whatever was done to it, it stops as it should."""
    with probed_node(services) as node:
        yield node


@pytest.fixture(scope="session")
def victim(attacked: Node) -> Login:
    """A device that is logged in there."""
    return new_login(attacked.url)


@pytest.fixture
def token(victim: Login) -> dict[str, str]:
    """Its handshake."""
    return {"token": victim.access_token}


async def lets_in(node: Node, token: dict[str, str]) -> bool:
    """Whether a handshake succeeds; a node that was kept busy for a second may have doubted Redis meanwhile."""
    async with RawSocket.open(node.url) as raw:
        return (await raw.connect(token)).kind == "0"


@pytest.fixture
async def watching(attacked: Node, token: dict[str, str]) -> AsyncIterator[RawSocket]:
    """Its socket, which is served before the test and after it; and nothing was raised through the node."""
    before = len(attacked.log)
    await eventually(lambda: lets_in(attacked, token), "it recovers from the attack before", timeout=5)
    async with RawSocket.open(attacked.url) as raw:
        assert (await raw.connect(token)).kind == "0"
        yield raw
        assert (await raw.ask("sessions-list", {}))["ok"] is True
    assert attacked.process.poll() is None
    assert "Traceback" not in "\n".join(attacked.log[before:])


@pytest.fixture(scope="session")
def stock() -> Iterator[Node]:
    """The library as it comes, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stock_server.py"))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    node = Node(process, process.stdout.readline().removeprefix("listening on ").strip())
    reading = threading.Thread(target=lambda: node.log.extend(process.stdout or ()), daemon=True)
    reading.start()
    yield node
    node.kill()
    reading.join()
    process.stdout.close()
