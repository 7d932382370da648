"""Drives the pages of npm's oidc-provider."""

import secrets

from playwright.async_api import Page


def who() -> str:
    """Return a new user name."""
    return f"ada-{secrets.token_hex(4)}"


async def sign_in(page: Page, name: str) -> None:
    """Complete the provider's pages."""
    await say_who(page, name)
    await agree(page)


async def say_who(page: Page, name: str) -> None:
    """Complete the login page."""
    await page.get_by_placeholder("Enter any login").fill(name)
    await page.get_by_placeholder("and password").fill("any will do")
    await page.get_by_role("button", name="Sign-in").click()


async def agree(page: Page) -> None:
    """Complete the consent page."""
    await page.get_by_role("button", name="Continue").click()
