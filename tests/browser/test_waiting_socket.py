"""A login that waits for its second factor, on its waiting socket, and where the browser cannot have one."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocket, WebSocketRoute, expect
from support.authenticator import Authenticator
from support.browsers import PASSWORD, PHONE, Device
from support.nodes import Node
from support.waiting import eventually

# A client whose tokens travel in the body, as an application's would be: no other login is finished on the socket.
BY_THE_MODULE = """async ([email, password, code]) => {
    const { VigilClient } = await import("/demo/vigil-client.js");
    let kept = null;
    const storage = {
        get: () => kept,
        set: async (token) => { await new Promise((resolve) => setTimeout(resolve, 50)); kept = token; },
        clear: () => { kept = null; },
    };
    const client = new VigilClient({ delivery: "body", storage });
    const ready = new Promise((resolve) => client.on("ready", resolve));
    const { mfaRequired, ...mfa } = await client.login({ email, password });
    let deadline = null;
    const waiting = await client.waitForFactor(mfa, { onDeadline: (at) => { deadline = at; } });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const refused = await waiting.finish({ method: "totp", code: "000000" }).catch(({ code }) => code);
    const { user } = await waiting.finish({ method: "totp", code });
    const { socketId } = await ready;
    const { sessions } = await client.sessions();
    const seen = { mfaRequired, refused, email: user.email, left: deadline - client.serverNow(), socketId,
                   state: client.state, sessions: sessions.length, kept: kept !== null };
    client.close();
    return seen;
}"""


@dataclass
class Wire:
    """What a page sends to finish a login."""

    frames: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    sockets: int = 0

    @classmethod
    def of(cls, page: Page) -> "Wire":
        wire = cls()
        page.on("websocket", wire._opened)
        page.on("request", lambda request: wire.posts.append(request.url) if request.method == "POST" else None)
        return wire

    def _opened(self, socket: WebSocket) -> None:
        self.sockets += 1
        socket.on("framesent", lambda frame: self.frames.append(str(frame)))
        socket.on("framereceived", lambda frame: self.frames.append(str(frame)))

    def has_frame(self, pattern: str) -> bool:
        return any(re.search(pattern, frame) for frame in self.frames)

    async def carried(self, pattern: str) -> None:
        """Wait until a frame has it."""

        async def seen() -> bool:
            return self.has_frame(pattern)

        await eventually(seen, pattern, timeout=30)

    def has_post(self, path: str) -> bool:
        return any(url.endswith(path) for url in self.posts)


@pytest.fixture
def protected(device: Callable[..., Any], account: Callable[..., Any], page_node: Node) -> Callable[..., Any]:
    """A laptop that is logged in, of an account with two-step verification; its address, and its app."""

    async def make() -> tuple[Device, str, Authenticator]:
        email = await account(page_node)
        laptop = await device("Laptop")
        await laptop.login(page_node, email)
        await laptop.by("account").click()
        await laptop.by("setup-totp").click()
        app = Authenticator((await laptop.by("totp-secret").inner_text()).replace(" ", ""))
        await laptop.by("setting-two-step").get_by_label("Code").fill(await app.code())
        await laptop.by("setting-two-step").get_by_test_id("submit").click()
        await laptop.by("codes-kept").click()
        return laptop, email, app

    return make


async def approve(laptop: Device, phone: Device) -> None:
    """Pick on the laptop the number that the phone shows."""
    number = await phone.by("approval-number").inner_text()
    await laptop.by("approval-choice").get_by_text(number, exact=True).click()


async def test_the_page_waits_on_a_socket_and_shows_its_time_running_out(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    _, email, app = await protected()
    phone = await device("Phone", viewport=PHONE)
    wire = Wire.of(phone.page)
    await phone.open(page_node)
    await phone.fill_login(email)
    deadline = phone.by("mfa-deadline")
    await expect(deadline).to_contain_text(re.compile(r"0[45]:\d\d"))
    first = await deadline.inner_text()
    await expect(deadline).not_to_have_text(first)
    await phone.picture("32-second-factor-countdown")
    await wire.carried('"mfa-required"')
    await phone.page.get_by_label("Code", exact=True).fill(await app.code())
    await phone.by("submit").click()
    await phone.is_live()
    # This page's tokens travel in a cookie, which only an answer over HTTP can set.
    assert wire.has_post("/2fa/verify")


async def test_the_answer_of_another_device_comes_over_the_socket(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    laptop, email, _ = await protected()
    phone = await device("Phone", viewport=PHONE)
    wire = Wire.of(phone.page)
    await phone.open(page_node)
    await phone.fill_login(email)
    await wire.carried('"mfa-required"')
    await phone.by("factor-approval").click()
    await approve(laptop, phone)
    await phone.is_live()
    assert wire.has_frame('"approval-request"')
    assert wire.has_frame('"login-approval-result"')
    assert not wire.has_post("/approvals/status")


async def test_where_sockets_are_blocked_http_does_it_all(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    laptop, email, app = await protected()
    phone = await device("Phone", viewport=PHONE)
    wire, blocked = Wire.of(phone.page), [True]

    async def poll(route: Route) -> None:
        await (route.abort() if blocked[0] else route.continue_())

    async def connect(socket: WebSocketRoute) -> None:
        if blocked[0]:
            await socket.close()
        else:
            socket.connect_to_server()

    await phone.page.route("**/socket.io/**", poll)
    await phone.page.route_web_socket(re.compile("/socket.io/"), connect)
    await phone.open(page_node)
    await phone.fill_login(email)
    await expect(phone.by("mfa-deadline")).to_be_visible()
    await phone.by("factor-approval").click()
    await approve(laptop, phone)
    await expect(phone.by("app")).to_be_visible()
    assert wire.has_post("/approvals/status")
    await phone.by("logout").click()
    await phone.fill_login(email)
    await phone.page.get_by_label("Code", exact=True).fill(await app.code())
    await phone.by("submit").click()
    await expect(phone.by("app")).to_be_visible()
    blocked[0] = False
    # What was begun while it was blocked runs into its own time limit first.
    await expect(phone.by("connection-state")).to_have_attribute("data-state", "live", timeout=30_000)


async def test_a_node_that_answers_polls_at_once_is_asked_no_more_than_once_a_second(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    _, email, _ = await protected()
    phone = await device("Phone", viewport=PHONE)
    polls: list[str] = []

    async def pending(route: Route) -> None:
        polls.append(route.request.url)
        data = {"status": "pending", "expiresAt": "2099-01-01T00:00:00.000Z"}
        await route.fulfill(json={"success": True, "data": data})

    async def close(socket: WebSocketRoute) -> None:
        await socket.close()

    await phone.page.route("**/socket.io/**", lambda route: route.abort())
    await phone.page.route("**/approvals/status", pending)
    await phone.page.route_web_socket(re.compile("/socket.io/"), close)
    await phone.open(page_node)
    await phone.fill_login(email)
    await phone.by("factor-approval").click()
    await expect(phone.by("approval-number")).to_be_visible()
    await phone.page.wait_for_timeout(3_000)
    assert 2 <= len(polls) <= 4


async def test_a_login_with_tokens_in_the_body_goes_live_on_the_socket_that_it_waited_on(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    _, email, app = await protected()
    page = (await device("Application")).page
    await page.goto(f"{page_node.url}/docs/api")
    wire = Wire.of(page)
    seen = await page.evaluate(BY_THE_MODULE, [email, PASSWORD, await app.code()])
    assert (seen["mfaRequired"], seen["refused"], seen["email"]) == (True, "invalid_code", email)
    assert 200_000 < seen["left"] <= 300_000
    assert (seen["state"]["state"], seen["state"]["socketId"]) == ("live", seen["socketId"])
    assert (seen["sessions"], seen["kept"]) == (2, True)
    assert wire.sockets == 1
    assert not wire.has_post("/2fa/verify")


async def test_a_login_that_is_over_says_so_and_begins_again(
    page_node: Node, device: Callable[..., Any], protected: Callable[..., Any]
) -> None:
    _, email, _ = await protected()
    phone = await device("Phone", viewport=PHONE)
    await phone.page.clock.install()
    await phone.open(page_node)
    await phone.fill_login(email)
    await expect(phone.by("mfa-deadline")).to_be_visible()
    await phone.page.clock.fast_forward("05:01")
    await expect(phone.by("notice")).to_contain_text("too long")
    await expect(phone.by("login-form")).to_be_visible()
