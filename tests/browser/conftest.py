"""Real Chromium on real nodes. Each browser context is a device, with its own cookies and storage."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, async_playwright
from support.browsers import DESKTOP, NAMED_LOGIN, QUIET, SIBLINGS, Device, chromium_path
from support.clients import Api
from support.nodes import Installation, Node, ServiceUrls, drop
from support.providers import NodeOpenIdServer

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running Chromium, shared by all tests, since starting it takes longer than most tests."""
    options = tmp_path_factory.mktemp("chromium") / "options.json"
    arguments = [*QUIET, SIBLINGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    options.write_text(json.dumps({"executablePath": chromium_path(), "args": arguments}))
    command = [
        sys.executable,
        "-m",
        "playwright",
        "launch-server",
        "--browser",
        "chromium",
        "--config",
        str(options),
    ]
    # A new session, so that the server, a child of playwright's command, is terminated with it.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGTERM)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in one event loop per process, since the connection to Chromium belongs to its loop."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connection(chromium: str) -> AsyncIterator[Browser]:
    """The connection to Chromium. Shared, since each starts a driver, which takes half a second of CPU."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.connect(chromium)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(connection: Browser) -> AsyncIterator[Browser]:
    """Chromium for one test; closes its pages after the test."""
    yield connection
    for context in connection.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """As for all tests, in the event loop of these."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def device(browser: Browser) -> AsyncIterator[Callable[..., Any]]:
    """Opens devices. Afterwards asserts that no page raised an error or violated the Content-Security-Policy."""
    opened: list[Device] = []

    async def open_one(
        name: str, *, viewport: ViewportSize = DESKTOP, dark: bool = False, **options: Any
    ) -> Device:
        # Motion reduced: no colour is examined halfway through a transition, and drawing costs a tenth of the CPU.
        context = await browser.new_context(
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale="en-GB",
            **options,
        )
        await context.add_init_script(NAMED_LOGIN % json.dumps(name))
        one = Device(await context.new_page(), name)
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on(
            "console",
            lambda message: (
                one.complaints.append(message.text)
                if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text
                else None
            ),
        )
        opened.append(one)
        return one

    yield open_one
    for each in opened:
        await each.page.context.close()
    assert [complaint for each in opened for complaint in each.complaints] == []


@pytest.fixture(scope="session")
def page_node(services: ServiceUrls) -> Iterator[Node]:
    """A node that serves its demo page, for tests without special settings."""
    installation = Installation(services)
    node = installation.start(VIGIL_PUBLIC_URL="")
    yield node
    assert node.stop() == 0


@pytest.fixture
def demo(start_node: Callable[..., Node]) -> Callable[..., Node]:
    """Starts nodes that serve the demo page under their own URL. Nodes of one test share an issuer."""

    def start(**settings: str) -> Node:
        return start_node(VIGIL_PUBLIC_URL="", VIGIL_ISSUER="vigil-browser-tests", **settings)

    return start


@pytest.fixture(scope="module")
def provider(request: pytest.FixtureRequest) -> Iterator[NodeOpenIdServer]:
    """A certified OpenID provider. The fixture's parameter selects the algorithm of its ID tokens."""
    server = NodeOpenIdServer(algorithm=getattr(request, "param", "RS256"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def provided(services: ServiceUrls, provider: NodeOpenIdServer) -> Iterator[Node]:
    """A node that is a client of the provider. Shared: each test uses a different user at the provider."""
    installation = Installation(services)
    running = installation.start(VIGIL_PUBLIC_URL="", VIGIL_OIDC_NPM_NAME="Harbour", **provider.settings())
    provider.start(running.url)
    yield running
    assert running.stop() == 0
    drop(services, installation.name)


@pytest.fixture
def account(http: aiohttp.ClientSession) -> Callable[..., Any]:
    """Creates verified accounts through a node's API."""

    async def make(node: Node, name: str = "Ada") -> str:
        email = f"{name.lower()}-{secrets.token_hex(4)}@example.org"
        return await Api(node.url, http).register(email)

    return make
