"""The list of devices: what became of a "Log out", and what is known while the server cannot be reached."""

import re
from typing import Any

import pytest
from playwright.async_api import expect
from support.browsers import DESKTOP, PHONE
from support.clients import Api
from yarl import URL

MANY = 50
FOCUSED = "document.activeElement.dataset.testid"


@pytest.fixture
def beside_many(device: Any, account: Any, page_node: Any, http: Any) -> Any:
    """A device that is logged in beside many others, which are programs."""

    async def make(**options: Any) -> Any:
        email = await account(page_node)
        for number in range(MANY - 1):
            await Api(page_node.url, http).login(email, device=f"Device {number:02}")
        laptop = await device("Laptop", **options)
        await laptop.login(page_node, email)
        await expect(laptop.by("device")).to_have_count(MANY)
        return laptop

    return make


@pytest.mark.parametrize(("viewport", "dark"), [(PHONE, True), (DESKTOP, False)])
async def test_the_outcome_of_a_log_out_takes_the_place_of_the_device(
    beside_many: Any, viewport: Any, dark: Any
) -> None:
    laptop = await beside_many(viewport=viewport, dark=dark)
    row = laptop.row("Device 20")
    await row.get_by_test_id("device-logout").click()
    outcome = laptop.by("device-outcome")
    await expect(outcome).to_contain_text("Device 20")
    await expect(outcome).to_contain_text("Logged out. It was offline.")
    await expect(outcome).to_be_in_viewport(ratio=1)
    await expect(laptop.by("device")).to_have_count(MANY - 1)
    # Screen readers are told by a live region that was there before.
    await expect(laptop.page.get_by_role("status").and_(laptop.by("devices-result"))).to_have_text(
        "Logged out. It was offline."
    )
    assert await laptop.page.evaluate(FOCUSED) == "device-outcome"
    await laptop.picture(f"70-outcome-{viewport['width']}")
    await laptop.by("outcome-close").click()
    await expect(outcome).to_have_count(0)
    assert await laptop.page.evaluate("document.activeElement.textContent.includes('Devices')")


async def test_what_failed_is_said_beside_the_device_until_the_server_is_back(
    demo: Any, device: Any, account: Any, http: Any
) -> None:
    node = demo()
    email = await account(node)
    await Api(node.url, http).login(email, device="Phone")
    laptop = await device("Laptop")
    await laptop.login(node, email)
    await expect(laptop.row("Phone")).to_be_visible()
    node.kill()
    await expect(laptop.by("devices-as-of")).to_be_visible()
    await laptop.row("Phone").get_by_test_id("device-logout").click()
    problem = laptop.row("Phone").get_by_test_id("device-problem")
    await expect(problem).to_contain_text("cannot be reached")
    await laptop.by("logout").click()
    await expect(laptop.by("problem")).to_contain_text("You are still logged in.")
    await laptop.picture("72-failed-log-out")

    demo(VIGIL_PORT=str(URL(node.url).port))
    await laptop.is_live()
    for gone in (laptop.by("devices-as-of"), laptop.by("problem"), problem):
        await expect(gone).to_have_count(0)


async def test_settings_that_could_not_be_loaded_can_be_tried_again(
    page_node: Any, device: Any, account: Any
) -> None:
    laptop = await device("Laptop")
    await laptop.login(page_node, await account(page_node))
    await laptop.page.route("**/api/auth/2fa", lambda route: route.abort())
    await laptop.by("account").click()
    card = laptop.by("setting-two-step")
    await expect(card).to_contain_text("Two-step verification could not be loaded.")
    await laptop.picture("73-try-again")
    await laptop.page.unroute("**/api/auth/2fa")
    await card.get_by_test_id("try-again").click()
    await expect(card).to_contain_text("Off.")
    await expect(laptop.by("load-problem")).to_have_count(0)


async def test_devices_are_not_online_now_while_the_server_cannot_be_reached(
    demo: Any, device: Any, account: Any
) -> None:
    node = demo()
    email = await account(node)
    laptop, phone = await device("Laptop"), await device("Phone", viewport=PHONE, dark=True)
    await laptop.login(node, email)
    await phone.login(node, email)
    for each in (laptop, phone):
        await expect(each.row("Phone")).to_have_attribute("data-online", "true")
    node.kill()
    for each in (laptop, phone):
        await expect(each.by("devices-as-of")).to_have_text(re.compile(r"^As of \d\d:\d\d$"))
        await expect(each.page.get_by_text("Online now")).to_have_count(0)
        await expect(each.row("Phone")).to_contain_text(re.compile(r"Online at \d\d:\d\d"))
        await each.picture(f"71-stale-{each.name.lower()}")
