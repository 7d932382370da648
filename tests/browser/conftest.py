"""Real Chromium on real nodes. Two browser contexts are two devices: they share no cookie and no storage."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from playwright.async_api import Browser, ViewportSize, async_playwright
from support.browsers import DESKTOP, QUIET, Device, chromium_path
from support.clients import Api
from support.nodes import QUICK_SERVER, Installation, Node, ServiceUrls, drop
from support.providers import NodeOpenIdServer


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running Chromium. One for all tests: to start it costs more than most of them do."""
    options = tmp_path_factory.mktemp("chromium") / "options.json"
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    options.write_text(json.dumps({"executablePath": chromium_path(), "args": arguments}))
    command = [sys.executable, "-m", "playwright", "launch-server", "--browser", "chromium", "--config", options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """It, for one test: what is opened in it is closed behind the test."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.connect(chromium)
        yield running
        await running.close()


@pytest.fixture
async def device(browser: Browser) -> AsyncIterator[Callable]:
    """Opens devices. At the end no page may have thrown, or met the Content-Security-Policy."""
    opened: list[Device] = []

    async def open_one(name: str, *, viewport: ViewportSize = DESKTOP, dark: bool = False, **options) -> Device:
        context = await browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", locale="en-GB", **options
        )
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
    """A node whose page can be opened, for tests that need no settings of their own."""
    installation = Installation(services, QUICK_SERVER)
    node = installation.start(VIGIL_PUBLIC_URL="")
    yield node
    assert node.stop() == 0


@pytest.fixture
def demo(start_node: Callable[..., Node]) -> Callable[..., Node]:
    """Starts a node whose page can be opened: its public URL is its own. Nodes of a test share an issuer."""

    def start(**settings: str) -> Node:
        return start_node(VIGIL_PUBLIC_URL="", VIGIL_ISSUER="vigil-browser-tests", **settings)

    return start


@pytest.fixture(scope="module")
def provider(request: pytest.FixtureRequest) -> Iterator[NodeOpenIdServer]:
    """A certified OpenID provider; a test may ask for the algorithm of its ID tokens."""
    server = NodeOpenIdServer(algorithm=getattr(request, "param", "RS256"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def provided(services: ServiceUrls, provider: NodeOpenIdServer) -> Iterator[Node]:
    """A node that knows the provider, and that the provider knows. Shared: each test is somebody else there."""
    installation = Installation(services, QUICK_SERVER)
    running = installation.start(VIGIL_PUBLIC_URL="", VIGIL_OIDC_NPM_NAME="Harbour", **provider.settings())
    provider.start(running.url)
    yield running
    assert running.stop() == 0
    drop(services, installation.name)


@pytest.fixture
def account(http: aiohttp.ClientSession) -> Callable:
    """Makes a verified account through the API of a node."""

    async def make(node: Node, name: str = "Ada") -> str:
        email = f"{name.lower()}-{secrets.token_hex(4)}@example.org"
        return await Api(node.url, http).register(email)

    return make
