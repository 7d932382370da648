"""Passkeys in Chromium, with an authenticator of its own: made, used to log in, named and removed."""

from typing import Any

import pytest
from playwright.async_api import ViewportSize, expect
from support.browsers import PHONE, Device

LAPTOP = ViewportSize(width=1024, height=600)

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def give_authenticator(one: Device) -> None:
    session = await one.page.context.new_cdp_session(one.page)
    await session.send("WebAuthn.enable")
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})


async def add_passkey(one: Device) -> None:
    """Adds the account's first, by the name that the page proposes, and keeps the recovery codes."""
    await one.by("add-passkey").click()
    await one.by("passkey-form").get_by_test_id("submit").click()
    await expect(one.by("passkey")).to_have_count(1)
    await expect(one.by("passkeys-result")).to_contain_text("asks for it too")
    await one.picture(f"37-passkey-wants-codes-{one.name.lower()}")
    await one.by("get-codes").click()
    await one.by("step-up").get_by_test_id("use-passkey").click()
    await expect(one.by("recovery-codes").get_by_role("listitem")).to_have_count(10)
    await one.picture(f"34-first-passkey-{one.name.lower()}")
    await one.by("codes-kept").click()


async def without_suggestions(one: Device) -> None:
    """Makes no suggestions, which this authenticator would answer at once."""
    none = "PublicKeyCredential.isConditionalMediationAvailable = async () => false"
    await one.page.add_init_script(none)
    await one.page.evaluate(none)


async def passkey_is_first(one: Device) -> bool:
    button, field = [await one.by(name).bounding_box() for name in ("passkey-login", "email")]
    assert button
    assert field
    return button["y"] < field["y"]


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_every_way_to_begin_is_in_sight_at_once(demo: Any, device: Any, viewport: Any) -> None:
    one = await device("Laptop", viewport=viewport)
    await one.open(demo(VIGIL_HOST="localhost"))
    for name in ("to-register", "email", "password", "to-forgot", "submit", "passkey-login"):
        await expect(one.by(name)).to_be_in_viewport(ratio=1)
    await one.picture(f"33-entrance-{viewport['width']}")


async def test_a_passkey_is_offered_among_the_suggestions_of_the_first_field(
    demo: Any, device: Any, account: Any
) -> None:
    node = demo(VIGIL_HOST="localhost")
    email = await account(node)
    phone = await device("Phone", viewport=PHONE)
    await give_authenticator(phone)
    await phone.login(node, email)
    await phone.by("account").click()
    await add_passkey(phone)
    # This authenticator needs no person: it answers the suggestion at once.
    async with phone.page.expect_response("**/webauthn/login/verify") as verified:
        await phone.by("logout").click()
    assert (await verified.value).status == 200
    await phone.is_live()


async def test_a_passkey_is_added_logs_in_alone_and_is_removed(demo: Any, device: Any, account: Any) -> None:
    node = demo(VIGIL_HOST="localhost")
    email = await account(node)
    phone = await device("Phone", viewport=PHONE)
    await give_authenticator(phone)
    await phone.login(node, email)
    await phone.by("account").click()
    await add_passkey(phone)
    await phone.by("rename-passkey").click()
    await phone.page.get_by_label("Name", exact=True).fill("Blue phone")
    await phone.by("rename-form").get_by_test_id("submit").click()
    await expect(phone.by("passkey-name")).to_have_text("Blue phone")
    await phone.picture("30-passkeys-phone")

    await without_suggestions(phone)
    await phone.by("logout").click()
    await expect(phone.by("login-form")).to_be_visible()
    await phone.picture("31-entrance-phone")
    assert not await passkey_is_first(phone)
    await phone.by("passkey-login").click()
    await phone.is_live()
    await phone.by("logout").click()
    await expect(phone.by("login-form")).to_be_visible()
    assert await passkey_is_first(phone)
    await phone.picture("32-entrance-passkey-first")
    await phone.page.reload()
    await expect(phone.by("login-form")).to_be_visible()
    assert await passkey_is_first(phone)
    await phone.by("passkey-login").click()
    await phone.is_live()

    await phone.by("account").click()
    await phone.by("remove-passkey").click()
    await phone.by("remove-passkey-cancel").click()
    await expect(phone.by("remove-passkey")).to_be_focused()
    await phone.by("remove-passkey").click()
    await phone.by("remove-passkey-confirm").click()
    await expect(phone.by("passkey")).to_have_count(0)


async def test_a_passkey_finishes_a_login_that_began_with_the_password(
    demo: Any, device: Any, account: Any
) -> None:
    node = demo(VIGIL_HOST="localhost")
    email = await account(node)
    laptop = await device("Laptop")
    await give_authenticator(laptop)
    await laptop.login(node, email)
    await laptop.by("account").click()
    await add_passkey(laptop)
    await expect(laptop.by("two-step-summary")).to_have_text("On · 1 passkey · 10 recovery codes left")
    await without_suggestions(laptop)
    await laptop.by("logout").click()
    await expect(laptop.by("login-form")).to_be_visible()
    await laptop.fill_login(email)
    await laptop.by("use-passkey").click()
    await laptop.is_live()


async def test_a_page_at_an_address_says_where_the_passkey_works(demo: Any, device: Any, account: Any) -> None:
    node = demo()
    email = await account(node)
    laptop = await device("Laptop")
    await give_authenticator(laptop)
    port = node.url.rpartition(":")[2]
    await laptop.page.goto(f"http://localhost:{port}/")
    await laptop.fill_login(email)
    await laptop.is_live()
    await laptop.by("account").click()
    await add_passkey(laptop)

    await laptop.open(node)
    await laptop.fill_login(email)
    link = laptop.by("passkeys-elsewhere")
    await expect(link).to_have_attribute("href", f"http://localhost:{port}")
    await expect(laptop.by("use-passkey")).to_have_count(0)
    await laptop.by("factor-recovery_code").or_(laptop.by("recovery_code-form")).first.wait_for()
    await laptop.picture("35-passkey-elsewhere")
