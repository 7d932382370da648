"""What ends a login in the browser, and what does not: only the server's own word that it is over."""

import json
import re
from typing import Any

from playwright.async_api import Page, Route, WebSocketRoute, expect
from support.waiting import eventually

ANSWERS: dict[str, dict[str, Any]] = {
    "a defect": {"status": 500, "json": {"success": False, "code": "internal_error", "message": "Oh."}},
    "a bad gateway": {"status": 502, "content_type": "text/html", "body": "<h1>502</h1>"},
    "a gateway's JSON": {"status": 504, "json": {"message": "upstream timed out", "code": 14}},
    "a firewall": {"status": 403, "content_type": "text/html", "body": "<h1>no</h1>"},
    "a proxy's login": {"status": 401, "content_type": "text/html", "body": "<h1>who are you?</h1>"},
    "a gateway's own token": {"status": 401, "json": {"code": "invalid_token", "message": "JWT"}},
    "a captive portal": {"status": 200, "content_type": "text/html", "body": "<h1>pay</h1>"},
    "an empty answer": {"status": 200, "body": ""},
    "a moved site": {"status": 404, "content_type": "text/html", "body": ""},
    "another form": {"status": 400, "json": {"success": False, "code": "a_code_of_next_year", "message": "?"}},
}


async def is_logged_in(page: Page) -> None:
    await expect(page.get_by_test_id("submit")).to_have_count(0)
    await expect(page.get_by_test_id("ended")).to_have_count(0)


async def is_live(page: Page, left: list[Any]) -> bool:
    """Whether nothing is left to be answered and it is live. Woken up, the page does not sit out its wait."""
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await is_logged_in(page)
    return not left and await page.locator("[data-testid=connection-state][data-state=live]").count() == 1


async def test_no_answer_to_a_refresh_that_is_not_the_servers_word_logs_anybody_out(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    page = laptop.page
    answered: list[str] = []
    left = list(ANSWERS)

    async def answer(route: Route) -> None:
        if not left:
            await route.continue_()
            return
        answered.append(left.pop(0))
        await route.fulfill(**ANSWERS[answered[-1]])

    await page.route("**/api/auth/refresh", answer)
    # A page that is loaded begins with a refresh.
    await page.reload()

    await eventually(lambda: is_live(page, left), "the server's own answer makes it live again", timeout=30)
    assert answered == list(ANSWERS)


REFUSALS: list[Any] = [
    {"code": "internal_error", "retryable": False},
    {"code": "internal_error", "retryable": True, "retryAfterMs": 100},
    {"code": "a_code_of_next_year", "retryable": False},
    {"code": "invalid_token"},
    {"reason": "a gate in front"},
    None,
]


async def test_no_refusal_of_a_handshake_that_is_not_the_servers_word_logs_anybody_out(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    left = list(REFUSALS)

    def connect(socket: WebSocketRoute) -> None:
        if not left:
            socket.connect_to_server()
            return
        refusal = left.pop(0)

        def answer(_: str | bytes) -> None:
            error = {"message": "no"} if refusal is None else {"message": "no", "data": refusal}
            socket.send("44" + json.dumps(error))

        socket.on_message(answer)
        socket.send('0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')

    await laptop.page.route_web_socket(re.compile("/socket.io/"), connect)
    await laptop.open(page_node)
    await laptop.fill_login(await account(page_node))
    await expect(laptop.by("connection-state")).to_be_visible()
    await eventually(lambda: is_live(laptop.page, left), "the server's own answer makes it live", timeout=60)


async def test_a_renewal_on_the_socket_that_meets_a_defect_is_tried_again(
    demo: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    met: list[str] = []

    def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            asked = re.match(r'42(\d+)\["reauthenticate"', message) if isinstance(message, str) else None
            if asked and len(met) < 2:
                met.append(asked[1])
                socket.send(f'43{asked[1]}[{{"ok":false,"code":"internal_error","message":"Oh."}}]')
            else:
                server.send(message)

        socket.on_message(pass_on)

    await laptop.page.route_web_socket(re.compile("/socket.io/"), connect)
    node = demo(VIGIL_ACCESS_TOKEN_SECONDS="5")
    await laptop.login(node, await account(node))
    socket_id = await laptop.socket_id()
    await expect(laptop.by("reauth-count")).not_to_have_attribute("data-count", "0", timeout=20_000)
    assert len(met) == 2
    assert await laptop.socket_id() == socket_id
    await laptop.is_live()
