"""Passkeys in Chromium, with an authenticator of its own: made, used to log in, named and removed."""

from playwright.async_api import expect
from support.browsers import PHONE, Device

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


async def test_a_passkey_is_added_logs_in_alone_and_is_removed(demo, device, account) -> None:
    node = demo(VIGIL_HOST="localhost")
    node.url = node.url.replace("127.0.0.1", "localhost")
    email = await account(node)
    phone = await device("Phone", viewport=PHONE)
    await give_authenticator(phone)
    await phone.login(node, email)
    await phone.by("account").click()
    await phone.by("add-passkey").click()
    await expect(phone.by("passkey")).to_have_count(1)
    await phone.by("rename-passkey").click()
    await phone.page.get_by_label("Name", exact=True).fill("Blue phone")
    await phone.by("rename-form").get_by_test_id("submit").click()
    await expect(phone.by("passkey-name")).to_have_text("Blue phone")
    await phone.picture("30-passkeys-phone")

    await phone.by("logout").click()
    await expect(phone.by("login-form")).to_be_visible()
    await phone.picture("31-entrance-phone")
    await phone.by("passkey-login").click()
    await phone.is_live()

    await phone.by("account").click()
    await phone.by("remove-passkey").click()
    await expect(phone.by("passkey")).to_have_count(0)


async def test_a_passkey_finishes_a_login_that_began_with_the_password(demo, device, account) -> None:
    node = demo(VIGIL_HOST="localhost")
    node.url = node.url.replace("127.0.0.1", "localhost")
    email = await account(node)
    laptop = await device("Laptop")
    await give_authenticator(laptop)
    await laptop.login(node, email)
    await laptop.by("account").click()
    await laptop.by("add-passkey").click()
    await expect(laptop.by("passkey")).to_have_count(1)
    await laptop.by("logout").click()
    await expect(laptop.by("login-form")).to_be_visible()
    await laptop.fill_login(email)
    await laptop.by("use-passkey").click()
    await laptop.is_live()
