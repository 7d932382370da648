"""What a person does on the pages of npm's oidc-provider."""

import secrets

from playwright.async_api import Page


def who() -> str:
    """Somebody whom nobody has met."""
    return f"ada-{secrets.token_hex(4)}"


async def sign_in(page: Page, name: str) -> None:
    """The provider's own pages, one after the other."""
    await say_who(page, name)
    await agree(page)


async def say_who(page: Page, name: str) -> None:
    """The page that asks for a name."""
    await page.get_by_placeholder("Enter any login").fill(name)
    await page.get_by_placeholder("and password").fill("any will do")
    await page.get_by_role("button", name="Sign-in").click()


async def agree(page: Page) -> None:
    """The page that asks whether we may know it."""
    await page.get_by_role("button", name="Continue").click()
