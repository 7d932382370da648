"""A node under attack, and a device that uses it meanwhile."""

from collections.abc import AsyncIterator, Iterator

import pytest
from support.clients import Login, new_login
from support.nodes import Node, ServiceUrls, probed_node, tracebacks
from support.raw_socket import RawSocket
from support.waiting import eventually


@pytest.fixture(scope="session")
def attacked(services: ServiceUrls) -> Iterator[Node]:
    """A separate node with the probe application. Afterwards asserts that it stops cleanly."""
    with probed_node(services) as node:
        yield node


@pytest.fixture(scope="session")
def victim(attacked: Node) -> Login:
    """A device logged in to the attacked node."""
    return new_login(attacked.url)


@pytest.fixture
def token(victim: Login) -> dict[str, str]:
    """The victim's handshake data."""
    return {"token": victim.access_token}


async def accepts(node: Node, token: dict[str, str]) -> bool:
    """Whether a handshake succeeds. A node that was blocked for a second may refuse it while Redis is in doubt."""
    async with RawSocket.open(node.url) as raw:
        return (await raw.connect(token)).kind == "0"


@pytest.fixture
async def watching(attacked: Node, token: dict[str, str]) -> AsyncIterator[RawSocket]:
    """The victim's socket. Asserts that it is served before and after the test, and no traceback was logged."""
    before = len(attacked.log)
    await eventually(lambda: accepts(attacked, token), "it recovers from the previous attack", timeout=30)
    async with RawSocket.open(attacked.url) as raw:
        assert (await raw.connect(token)).kind == "0"
        yield raw
        assert (await raw.ask("sessions-list", {}))["ok"] is True
    assert attacked.process.poll() is None
    assert tracebacks(attacked.log[before:]) == []
