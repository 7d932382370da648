"""The root secret is replaced node by node, and nobody is logged out (docs/operations.md)."""

import asyncio
from collections.abc import Callable

from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Answer, Api, Login
from support.commands import run_command
from support.nodes import SECRET, Installation, Node
from support.secured import Secured, secure

from auth.http.cookies import DEVICE_COOKIE

On = Callable[[Node], Api]
NEW = "another-" + "fedcba9876543210" * 2
# The three steps: every node knows the new secret, then every node signs with it, then the old one is forgotten.
KNOWS_NEW = {"VIGIL_SECRET_KEY": SECRET, "VIGIL_SECOND_SECRET_KEY": NEW}
SIGNS_WITH_NEW = {"VIGIL_SECRET_KEY": NEW, "VIGIL_SECOND_SECRET_KEY": SECRET}
ONLY_NEW = {"VIGIL_SECRET_KEY": NEW}


async def start(installation: Installation, settings: dict[str, str]) -> Node:
    return await asyncio.to_thread(lambda: installation.start(**settings))


async def stop(*nodes: Node) -> None:
    for node in nodes:
        assert await asyncio.to_thread(node.stop) == 0


def at(api: Api, login: Login) -> Login:
    """The same device, which now reaches another node."""
    login.api = api
    return login


async def passes_second_factor(api: Api, account: Secured, app: Authenticator) -> Answer:
    elsewhere = Secured(api, account.email, account.login, app, account.recovery_codes)
    token = await elsewhere.begin()
    answer = {"code": await app.code()}
    return await api.call("POST", "/2fa/verify", {"mfaToken": token, **answer})


async def test_from_step_to_step_every_login_cookie_and_factor_goes_on(installed: Installation, on: On) -> None:
    first = await start(installed, {})
    secured = await secure(on(first))
    phone = await on(first).login(await on(first).register())
    email = await on(first).register()
    browser = on(first)
    await browser.login(email, delivery="cookies")

    # Nodes of one step run beside those of the next: each accepts what the other one has issued.
    knowing = await start(installed, KNOWS_NEW)
    await stop(first)
    signing = await start(installed, SIGNS_WITH_NEW)
    for node in (signing, knowing, signing):
        assert (await at(on(node), phone).refresh()).data["outcome"] == "rotated"
        assert (await phone.call("GET", "/me")).status == 200
        browser.url = node.url
        assert (await browser.call("PATCH", "/me", {"name": "Ada"})).status == 200
        assert (await browser.call("POST", "/refresh")).status == 200
    assert (await passes_second_factor(on(signing), secured, secured.app)).status == 200
    # Sealed under the new secret, and usable where that is the second one.
    later = await secure(on(signing))
    assert (await passes_second_factor(on(knowing), later, later.app)).status == 200
    # The browser logs in again, which signs its cookie for known devices anew; its holder is no stranger anywhere.
    known = browser.cookies[DEVICE_COOKIE]
    body = {"email": email, "password": PASSWORD, "delivery": "cookies"}
    assert (await browser.call("POST", "/login", body, headers={"Origin": ORIGIN})).status == 200
    assert browser.cookies[DEVICE_COOKIE] != known
    await stop(knowing)

    environ = installed.environ(**SIGNS_WITH_NEW)
    done = await asyncio.to_thread(run_command, "keys", "reseal", environ=environ)
    assert (done.status, done.out) == (0, "sealed anew: 2 signing keys, 1 authenticator apps, 0 webhooks\n"), done
    again = await asyncio.to_thread(run_command, "keys", "reseal", environ=environ)
    assert again.out == "sealed anew: 0 signing keys, 0 authenticator apps, 0 webhooks\n"

    last = await start(installed, ONLY_NEW)
    assert (await at(on(last), phone).call("GET", "/me")).status == 200
    assert (await phone.refresh()).data["outcome"] == "rotated"
    assert (await passes_second_factor(on(last), secured, secured.app)).status == 200
    browser.url = last.url
    assert (await browser.call("PATCH", "/me", {"name": "Ada"})).status == 200
    # What the old secret signed and nobody renewed is refused: it may be in wrong hands.
    assert (await at(on(last), secured.login).refresh()).code == "invalid_token"
    await stop(signing, last)


async def test_an_app_sealed_under_neither_secret_is_named_and_the_rest_is_sealed_anew(
    installed: Installation, on: On
) -> None:
    node = await start(installed, {})
    await secure(on(node))
    await stop(node)
    # A start under both other secrets is refused, and so is sealing keys that cannot be opened.
    other = {"VIGIL_SECRET_KEY": NEW, "VIGIL_SECOND_SECRET_KEY": NEW[::-1]}
    refused = await asyncio.to_thread(run_command, "keys", "reseal", environ=installed.environ(**other))
    assert refused.status == 2
    assert "VIGIL_SECRET_KEY is not the secret" in refused.err
    assert (await asyncio.to_thread(run_command, "keys", "reset", environ=installed.environ(**other))).status == 0
    done = await asyncio.to_thread(run_command, "keys", "reseal", environ=installed.environ(**other))
    assert (done.status, done.out) == (1, "sealed anew: 0 signing keys, 0 authenticator apps, 0 webhooks\n"), done
    assert done.err == "sealed under neither secret: 1 authenticator apps, which no longer work\n"
