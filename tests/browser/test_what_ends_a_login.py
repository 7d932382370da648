"""What ends a login in the browser, and what does not: only the server's own word that it is over."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect
from support.waiting import eventually

OVER = {"invalid_token", "session_revoked", "session_expired", "refresh_reused"}
# Codes of the contract, of other versions of it, and of whatever stands in front of the server.
CODES = [
    *sorted(OVER),
    "token_expired",
    "missing_token",
    "internal_error",
    "unavailable",
    "rate_limited",
    "provider_failed",
    "origin_not_allowed",
    "csrf_failed",
    "invalid_request",
    "forbidden",
    "not_found",
    "AccessDenied",
    "a_code_of_next_year",
]

JUDGE = """async ([codes, statuses]) => {
  const { VigilError } = await import("/demo/vigil-errors.js");
  const { afterRefusal, afterRefreshRefusal } = await import("/demo/vigil-reconnect.js");
  return codes.flatMap((code) => statuses.flatMap((status) => [undefined, true, false].map((retryable) => {
    const error = new VigilError({ code, status, retryable });
    return [code, status, afterRefusal(error), afterRefreshRefusal(error)];
  })));
}"""


async def test_only_the_four_codes_that_say_so_end_a_login_whatever_the_status(
    page_node: Any, device: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.open(page_node)
    judged = await laptop.page.evaluate(JUDGE, [CODES, [0, 200, 400, 401, 403, 404, 429, 500, 502, 503, 504]])
    for code, status, of_token, of_refresh in judged:
        stale = code in {"token_expired", "missing_token"}
        assert of_token == ("end" if code in OVER else "refresh" if stale else "retry"), (code, status)
        assert of_refresh == ("end" if code in OVER or stale else "retry"), (code, status)


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
    # A page that is loaded begins with a refresh; woken up, it does not sit out its wait.
    await page.reload()

    async def live() -> bool:
        await page.evaluate("window.dispatchEvent(new Event('online'))")
        await is_logged_in(page)
        return not left and await page.locator("[data-testid=connection-state][data-state=live]").count() == 1

    await eventually(live, "the server's own answer makes it live again", timeout=30)
    assert answered == list(ANSWERS)


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": "internal_error", "retryable": False},
        {"code": "internal_error", "retryable": True, "retryAfterMs": 100},
        {"code": "a_code_of_next_year", "retryable": False},
        {"code": "invalid_token"},
        {"reason": "a gate in front"},
        None,
    ],
    ids=json.dumps,
)
async def test_no_refusal_of_a_handshake_that_is_not_the_servers_word_logs_anybody_out(
    page_node: Any, device: Any, account: Any, refusal: Any
) -> None:
    laptop = await device("Laptop")
    refused = 0

    def connect(socket: WebSocketRoute) -> None:
        nonlocal refused
        if refused == 2:
            socket.connect_to_server()
            return
        refused += 1

        def answer(_: str | bytes) -> None:
            error = {"message": "no"} if refusal is None else {"message": "no", "data": refusal}
            socket.send("44" + json.dumps(error))

        socket.on_message(answer)
        socket.send('0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')

    await laptop.page.route_web_socket(re.compile("/socket.io/"), connect)
    await laptop.login(page_node, await account(page_node))
    assert refused == 2


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
