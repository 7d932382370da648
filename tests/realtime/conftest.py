"""Node pairs for the live socket's tests, each started once on first use."""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.clients import ORIGIN, PASSWORD, Api, Login, new_login
from support.nodes import PROBE, Installation, Node, ServiceUrls, pair_of_nodes

# Token lifetime and grace period of the brief nodes, in seconds.
BRIEF_LIFE = 4
BRIEF_GRACE = 2

Pair = tuple[Node, Node]
LogIn = Callable[..., Awaitable[Login]]


@pytest.fixture(scope="session")
def probe_installation(services: ServiceUrls) -> Installation:
    """The installation of the probe nodes."""
    return Installation(services)


@pytest.fixture(scope="session")
def probe_nodes(probe_installation: Installation) -> Iterator[Pair]:
    """Two nodes with the application `apps/probe.py`."""
    with pair_of_nodes(probe_installation, VIGIL_APPLICATION=PROBE) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def brief_nodes(services: ServiceUrls) -> Iterator[Pair]:
    """Two nodes with access tokens that live for `BRIEF_LIFE` seconds."""
    settings = {
        "VIGIL_ACCESS_TOKEN_SECONDS": str(BRIEF_LIFE),
        "VIGIL_EXPIRY_GRACE_SECONDS": str(BRIEF_GRACE),
    }
    with pair_of_nodes(Installation(services), **settings) as nodes:
        yield nodes


@pytest.fixture
def log_in(http: aiohttp.ClientSession) -> LogIn:
    """Logs in a device on a node, with a new account unless an address is given."""

    async def log_in(
        where: Node, email: str | None = None, *, user_agent: str | None = None, **more: Any
    ) -> Login:
        api = Api(where.url, http)
        email = email or await api.register()
        body = {"email": email, "password": PASSWORD, "delivery": "body"} | more
        headers = {"Origin": ORIGIN} | ({"User-Agent": user_agent} if user_agent else {})
        answer = await api.call("POST", "/login", body, headers=headers)
        assert answer.status == 200, answer.body
        return Login(api, answer.data)

    return log_in


@pytest.fixture(scope="session")
def standing(node: Node) -> Login:
    """A device that stays logged in, for tests that need any session and end none."""
    return new_login(node.url)


@pytest.fixture(scope="session")
def room_key(shared_installation: Installation, node: Node) -> str:
    """A server key that may emit, and end sessions."""
    return create_key(shared_installation, "emit", "sessions")


@pytest.fixture
def backend(room_key: str, node: Node, http: aiohttp.ClientSession) -> Backend:
    """A backend at the shared node."""
    return Backend(node.url, room_key, http)


@pytest.fixture
def room() -> str:
    """A room of the test's own."""
    return f"chat:{secrets.token_hex(6)}"
