"""What is in view first, in every window: devices, security log and connection before the chat."""

import re
from typing import Any

import pytest
from playwright.async_api import expect
from support.clients import Api

# Scrollers inside the page, besides the messages of the chat.
NESTED = """[...document.querySelectorAll('main *')].filter((each) => {
  const { overflowY } = getComputedStyle(each);
  return (overflowY === 'auto' || overflowY === 'scroll') && !each.matches('.chat-scroll');
}).length"""
# Cards whose content is cut off.
CUT = """[...document.querySelectorAll('.card:not(.chat-card), main p, main span')]
  .filter((each) => each.scrollHeight > each.clientHeight + 1 && getComputedStyle(each).overflow !== 'visible'
    && !each.matches('.visually-hidden, .chat-card *'))
  .length"""

# What is wider than the card that it is in. Hidden texts for screen readers have no place.
WIDER_THAN_ITS_CARD = """[...document.querySelectorAll('.card :not(.visually-hidden)')].filter((each) => {
  const { left, right, width } = each.getBoundingClientRect();
  const card = each.closest('.card').getBoundingClientRect();
  return width > 0 && (right > card.right + 1 || left < card.left - 1);
}).map((each) => each.outerHTML.slice(0, 80))"""


@pytest.fixture
def beside_four(device: Any, account: Any, page_node: Any, http: Any) -> Any:
    async def make(width: int, height: int, **options: Any) -> Any:
        email = await account(page_node)
        for name in ("Phone", "Tablet", "Office", "A kitchen computer with a rather long name"):
            await Api(page_node.url, http).login(email, device=name)
        one = await device("Laptop", viewport={"width": width, "height": height}, **options)
        await one.login(page_node, email)
        await expect(one.by("device")).to_have_count(5)
        await expect(one.by("recorded-event").first).to_be_attached()
        return one

    return make


@pytest.mark.parametrize(("width", "height", "dark"), [(1024, 600, False), (1280, 800, True)])
async def test_devices_log_and_connection_are_in_view_first_and_the_skip_link_leads_to_the_content(
    beside_four: Any, width: Any, height: Any, dark: Any
) -> None:
    laptop = await beside_four(width, height, dark=dark)
    for number in range(3):
        await expect(laptop.by("device").nth(number)).to_be_in_viewport(ratio=1)
    for name in ("logout-all", "link-card"):
        await expect(laptop.by(name)).to_be_in_viewport(ratio=1)
    for number in range(3):
        await expect(laptop.by("recorded-event").nth(number)).to_be_in_viewport(ratio=1)
    assert await laptop.page.evaluate(NESTED) == 0
    assert await laptop.page.evaluate(CUT) == 0
    await expect(laptop.by("own-state")).to_be_visible()
    assert await laptop.page.evaluate(WIDER_THAN_ITS_CARD) == []
    assert await laptop.page.evaluate("document.documentElement.scrollWidth") <= width
    await laptop.picture(f"80-layout-{width}")
    await laptop.by("account").click()
    await laptop.page.get_by_role("link", name="Skip to content").focus()
    await laptop.page.keyboard.press("Enter")
    assert await laptop.page.evaluate("document.activeElement.id") == "account-title"
    await expect(laptop.page).to_have_url(re.compile("#account$"))


async def test_a_phone_shows_one_view_and_the_page_itself_scrolls(beside_four: Any) -> None:
    phone = await beside_four(390, 844)
    for pane in ("devices", "security", "chat"):
        await phone.by(f"pane-{pane}").click()
        assert await phone.page.evaluate(NESTED) == 0
        assert await phone.page.evaluate(WIDER_THAN_ITS_CARD) == []
        for name in ("logout", f"pane-{pane}"):
            await expect(phone.by(name)).to_be_in_viewport(ratio=1)
        await phone.picture(f"81-phone-{pane}")
    await expect(phone.by("chat-input")).to_be_in_viewport(ratio=1)


async def test_at_four_hundred_per_cent_the_bars_do_not_cover_the_list(beside_four: Any) -> None:
    zoomed = await beside_four(320, 256)
    button = zoomed.row("Tablet").get_by_test_id("device-logout")
    await button.scroll_into_view_if_needed()
    await button.evaluate("(button) => button.scrollIntoView({block: 'start'})")
    await expect(button).to_be_in_viewport(ratio=1)
    hit = """(button) => {
      const { x, y, width, height } = button.getBoundingClientRect();
      return button.contains(document.elementFromPoint(x + width / 2, y + height / 2));
    }"""
    assert await button.evaluate(hit)
    await expect(zoomed.by("logout")).not_to_be_in_viewport()
    assert await zoomed.page.evaluate("document.documentElement.scrollWidth") <= 320
    await zoomed.picture("82-zoomed")
    await zoomed.by("pane-chat").click()
    await expect(zoomed.by("own-state")).to_be_visible()
    assert await zoomed.page.evaluate(WIDER_THAN_ITS_CARD) == []
    await zoomed.picture("82-zoomed-chat")
    await zoomed.by("pane-devices").click()
    await zoomed.page.evaluate("scrollTo(0, 0)")
    await zoomed.picture("82-zoomed-top")


async def test_what_has_the_focus_is_not_below_a_bar(beside_four: Any) -> None:
    phone = await beside_four(390, 600)
    covered = """() => {
      const { x, y, width, height } = document.activeElement.getBoundingClientRect();
      return !document.activeElement.contains(document.elementFromPoint(x + width / 2, y + height / 2));
    }"""
    await phone.by("logout-others").focus()
    for _ in range(5):
        await phone.page.keyboard.press("Tab")
        if await phone.page.evaluate("document.activeElement.dataset.testid") == "device-logout":
            assert not await phone.page.evaluate(covered)
