"""The browser module in the oldest browsers that client-demo/README.md names: without what came after them."""

import re
from collections.abc import Callable
from typing import Any

from playwright.async_api import expect
from support.browsers import Device
from support.nodes import ROOT, Node

# What came after Chrome 90, Firefox 90 or Safari 15.0, by its owner; Web Locks and channels are the latter's lack.
YOUNGER = {
    "AbortSignal": ["timeout", "any"],
    "AbortSignal.prototype": ["throwIfAborted", "reason"],
    "Array": ["fromAsync"],
    "Array.prototype": ["at", "findLast", "findLastIndex", "toReversed", "toSorted", "toSpliced", "with"],
    "crypto": ["randomUUID"],
    "Crypto.prototype": ["randomUUID"],
    "globalThis": ["structuredClone", "BroadcastChannel", "CompressionStream"],
    "Map": ["groupBy"],
    "Navigator.prototype": ["locks", "userAgentData"],
    "Object": ["hasOwn", "groupBy"],
    "Promise": ["withResolvers", "try"],
    "Set.prototype": ["union", "intersection", "difference"],
    "String.prototype": ["at", "isWellFormed", "toWellFormed"],
    "URL": ["canParse", "parse"],
}
TAKE_AWAY = f"""
for (const [owner, names] of Object.entries({YOUNGER})) {{
  const from = owner.split(".").reduce((place, part) => place?.[part], globalThis);
  for (const name of names) if (from) delete from[name];
}}
"""
# Names that say nothing by themselves (`at`, `any`, `with`) are meant as calls on something.
USES = re.compile(
    r"AbortSignal\.(timeout|any)|\.(at|findLast(Index)?|to(Reversed|Sorted|Spliced)|throwIfAborted|hasOwn|groupBy|"
    r"withResolvers|fromAsync|canParse|isWellFormed)\(|randomUUID|structuredClone|CompressionStream|static \{|"
    r"#\w+ in |/[dgimsuy]*v[dgimsuy]*[;,)]"
)


def test_the_modules_use_nothing_that_came_later() -> None:
    for file in (ROOT / "client-demo").glob("vigil-*.js"):
        assert [match[0] for match in USES.finditer(file.read_text())] == [], file.name


async def test_login_renewal_and_logout_work_without_it(
    page_node: Node, device: Callable[..., Any], account: Callable[..., Any]
) -> None:
    email = await account(page_node)
    old: Device = await device("An old laptop")
    await old.page.context.add_init_script(TAKE_AWAY)
    await old.login(page_node, email)
    missing = "[AbortSignal.timeout, navigator.locks, globalThis.BroadcastChannel, [].at]"
    assert await old.page.evaluate(f"{missing}.every((it) => it === undefined)")
    await old.say("Hello from 2021")
    await expect(old.by("chat-text").filter(has_text="Hello from 2021")).to_be_visible()
    await old.page.reload()
    await old.is_live()
    await old.by("logout").click()
    await expect(old.page.get_by_label("E-mail address")).to_be_visible()
