"""Devices of the browser tests: Chromium profiles with the demo page."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Locator, Page, ViewportSize, expect

from support.nodes import Node

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts"
PASSWORD = "a quiet harbour at dusk"
DESKTOP = ViewportSize(width=1280, height=860)
PHONE = ViewportSize(width=390, height=844)
# The headless shell, which draws no windows, needs the least CPU.
CHROMIUM_NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
# Without internet access, Chromium's background requests would cause many failing DNS look-ups.
QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# Names under one domain, whose cookies its hosts share.
SIBLINGS = "--host-resolver-rules=MAP *.vigil.test 127.0.0.1"

# On a busy machine a page needs seconds for what it otherwise does at once.
expect.set_options(timeout=30_000)


def chromium_path() -> str:
    """Return the path of Chromium, as found by scripts/setup or on PATH."""
    named = os.environ.get("VIGIL_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert found, "no Chromium: `make test` finds or installs one"
    return found


# Names the device in the page's logins, as a program can; the page itself does not ask for a name.
NAMED_LOGIN = """
(() => {
  const send = window.fetch;
  window.fetch = (url, options) => {
    if (!/\\/api\\/auth\\/login$/.test(String(url))) return send(url, options);
    const body = { ...JSON.parse(options.body), deviceName: %s };
    return send(url, { ...options, body: JSON.stringify(body) });
  };
})();
"""


@dataclass
class Device:
    """One browser profile with the demo page."""

    page: Page
    name: str
    complaints: list[str] = field(default_factory=list)

    def by(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    async def open(self, node: Node, path: str = "/") -> None:
        await self.page.goto(node.url + path)

    async def fill_login(self, email: str, password: str = PASSWORD) -> None:
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.get_by_label("Password", exact=True).fill(password)
        await self.by("submit").click()

    async def login(self, node: Node, email: str) -> None:
        """Log in and wait until the connection is live."""
        await self.open(node)
        await self.fill_login(email)
        await self.is_live()

    async def is_live(self) -> None:
        await expect(self.by("connection-state")).to_have_attribute("data-state", "live")

    def row(self, other: str) -> Locator:
        """Locate a device in the list of devices by its name."""
        return self.by("device").filter(has=self.page.get_by_test_id("device-name").get_by_text(other, exact=True))

    async def say(self, text: str) -> None:
        # A narrow window shows one view at a time.
        if await self.by("pane-chat").is_visible():
            await self.by("pane-chat").click()
        await self.by("chat-input").fill(text)
        await self.by("chat-send").click()

    async def said(self) -> list[str]:
        return await self.by("chat-text").all_inner_texts()

    async def socket_id(self) -> str:
        return await self.by("socket-id").inner_text()

    async def picture(self, name: str) -> None:
        """Save a screenshot as an artefact of the run."""
        ARTEFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTEFACTS / f"{name}.png")
