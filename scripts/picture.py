"""Makes the moving picture of the README, docs/logout.png: a phone is logged out from a laptop.

.venv/bin/python scripts/picture.py [URL]    of a running server with its outbox: `make run` or the URL

An animated PNG needs no program besides the browser: its frames are screenshots, put into one file.
"""

import re
import secrets
import shutil
import struct
import sys
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "logout.png"
PASSWORD = secrets.token_urlsafe()
SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Each frame: its caption and how long it is shown.
CAPTIONS = {
    "Two devices are logged in. The list is live.": 2500,
    "The laptop logs out the phone.": 1700,
    "The phone is logged out at once, shows why, and confirms it.": 5000,
}

FRAME = """
<style>
  body {{ margin: 0; padding: 14px 16px 16px; width: 1048px; background: #e3e6eb;
          font: 600 17px system-ui, sans-serif }}
  p {{ margin: 0 0 12px; color: #1c2430 }}
  main {{ display: flex; gap: 16px; align-items: flex-start }}
  svg {{ position: absolute; {pointer} }}
  img {{ border-radius: 10px; box-shadow: 0 2px 8px #0003 }}
</style>
<p>{caption}</p>
<main><img src="data:image/png;base64,{laptop}" width="736" height="520">
<img src="data:image/png;base64,{phone}" width="296" height="520"></main>
<svg width="26" height="26" viewBox="0 0 24 24">
  <path d="M5 2v17l5-4 3 7 3-1-3-7h6z" stroke="#fff" stroke-width="1.5"/>
</svg>
"""
NO_POINTER = "display: none"
LAPTOP_SCALE = 736 / 1104


def main(url: str) -> None:
    """Write the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium-headless-shell"))
        email = register(playwright, url)
        laptop = log_in(browser, url, email, width=1104)
        android = playwright.devices["Pixel 7"]
        phone = log_in(browser, url, email, width=444, user_agent=android["user_agent"], is_mobile=True)
        button = laptop.get_by_role("button", name=re.compile("^Log out .*Android"))
        laptop.get_by_test_id("alert-seen").click()
        laptop.get_by_test_id("alert-banner").wait_for(state="detached")
        frames = [shoot(laptop, phone)]
        button.hover()
        pointers = [NO_POINTER, pointer_at(button), NO_POINTER]
        frames.append(shoot(laptop, phone))
        button.click()
        laptop.get_by_test_id("device-outcome").get_by_text("confirmed").wait_for()
        phone.get_by_test_id("ended").wait_for()
        frames.append(shoot(laptop, phone))
        composed = [compose(browser, *each) for each in zip(CAPTIONS, pointers, frames, strict=True)]
    PICTURE.write_bytes(animated(composed, list(CAPTIONS.values())))


def register(playwright: Playwright, url: str) -> str:
    """Create an account, confirm its address by the link in the outbox, and return the address."""
    api = playwright.request.new_context(base_url=url)
    email = f"ada-{secrets.token_hex(3)}@example.org"
    account = {"email": email, "password": PASSWORD, "name": "Ada Lovelace"}
    api.post("/api/auth/register", data=account, fail_on_status_code=True)
    while True:
        messages = api.get("/dev/outbox.json", fail_on_status_code=True).json()["messages"]
        texts = (message["text"] for message in messages if message["to"] == email)
        token = next(
            (found[1] for text in texts if (found := re.search(r"verify-email\?token=([\w.%-]+)", text))), None
        )
        if token:
            break
    api.post("/api/auth/verify-email", data={"token": token}, fail_on_status_code=True)
    return email


def log_in(browser: Browser, url: str, email: str, *, width: int, **options: Any) -> Page:
    """Log in as a new device, and return its page."""
    options |= {"locale": "en-GB", "viewport": {"width": width, "height": 780}, "device_scale_factor": 1}
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_test_id("submit").click()
    page.locator("[data-testid=connection-state][data-state=live]").wait_for()
    return page


def shoot(*pages: Page) -> list[bytes]:
    """Return a screenshot of each page."""
    return [page.screenshot(animations="disabled") for page in pages]


def pointer_at(button: Locator) -> str:
    """Return the place of a mouse pointer on the laptop's button, in the frame."""
    box = button.bounding_box()
    assert box is not None
    left, top = (box["x"] + box["width"] / 2) * LAPTOP_SCALE, (box["y"] + box["height"] / 2) * LAPTOP_SCALE
    return f"left: {16 + left:.0f}px; top: {46 + top:.0f}px"


def compose(browser: Browser, caption: str, pointer: str, devices: list[bytes]) -> bytes:
    """Return a frame: both devices beside each other below the caption."""
    page = browser.new_page(viewport={"width": 1080, "height": 600})
    laptop, phone = (b64encode(each).decode() for each in devices)
    page.set_content(FRAME.format(caption=caption, pointer=pointer, laptop=laptop, phone=phone))
    return page.screenshot()


def animated(frames: list[bytes], delays_ms: list[int]) -> bytes:
    """Return an animated PNG of PNG images of one size and colour type, repeated for ever (PNG, third edition)."""
    header = next(data for kind, data in chunks(frames[0]) if kind == b"IHDR")
    size = header[:8]
    out = [chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    sequence = 0
    for frame, delay in zip(frames, delays_ms, strict=True):
        out.append(chunk(b"fcTL", struct.pack(">I8sIIHHBB", sequence, size, 0, 0, delay, 1000, 0, 0)))
        sequence += 1
        data = b"".join(part for kind, part in chunks(frame) if kind == b"IDAT")
        if frame is frames[0]:
            out.append(chunk(b"IDAT", data))
            continue
        out.append(chunk(b"fdAT", struct.pack(">I", sequence) + data))
        sequence += 1
    return b"".join((SIGNATURE, *out, chunk(b"IEND", b"")))


def chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the types and contents of the chunks of a PNG image."""
    at = len(SIGNATURE)
    while at < len(image):
        length, kind = struct.unpack_from(">I4s", image, at)
        yield kind, image[at + 8 : at + 8 + length]
        at += length + 12


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG image."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:8000"]))
