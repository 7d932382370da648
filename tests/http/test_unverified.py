"""Where unverified users may log in: what a stranger sets up on somebody else's address before its owner comes."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.authenticator import Authenticator
from support.clients import PASSWORD, Answer, Api, Login
from support.mailbox import mailed
from support.nodes import Installation, Node, ServiceUrls, drop
from support.passkeys import SoftPasskey
from support.provider_person import Person
from support.providers import OpenIdServer, openid_server

ORIGIN = "http://localhost:8000"
OWNERS = "an orchard under early snow"
RESET = re.compile(r"\?reset=([A-Za-z0-9_-]+)")

# What puts a factor or a way in on an account: the first step of each, and the last where it can be sent alone.
ADDITIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "an authenticator app": ("/2fa/setup", {}),
    "an authenticator app's first code": ("/2fa/enable", {"code": "123456"}),
    "a passkey": ("/webauthn/register/options", {}),
    "a passkey's answer": ("/webauthn/register/verify", {"credential": {}}),
    "a phone": ("/phone/send-otp", {"phoneNumber": "+31612345678"}),
    "a phone's code": ("/phone/verify-otp", {"phoneNumber": "+31612345678", "otp": "123456"}),
    "a provider": ("/oauth/down/link", {}),
}

# What takes one off: the call, and its answer where there is none.
REMOVALS: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "an authenticator app": ("POST", "/2fa/disable", {}, 200),
    "a passkey": ("DELETE", "/webauthn/passkeys/AAAA", None, 404),
    "a phone": ("DELETE", "/phone", None, 200),
    "a provider": ("DELETE", "/me/identities/0", None, 404),
}


@pytest.fixture(scope="module")
def installed(services: ServiceUrls) -> Iterator[Installation]:
    own = Installation(services)
    yield own
    drop(services, own.name)


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdServer]:
    with openid_server() as server:
        yield server


@pytest.fixture(scope="module")
def node(installed: Installation, provider: OpenIdServer) -> Iterator[Node]:
    running = installed.start(
        **provider.settings("one"),
        VIGIL_REQUIRE_VERIFIED_EMAIL="off",
        VIGIL_OIDC_DOWN_ISSUER="http://127.0.0.1:9",
        VIGIL_OIDC_DOWN_CLIENT_ID="vigil",
        VIGIL_OIDC_DOWN_CLIENT_SECRET="secret",
    )
    yield running
    assert running.stop() == 0


@pytest.fixture
async def email(api: Api) -> str:
    return await api.register(verify=False)


@pytest.fixture
async def stranger(api: Api, email: str) -> Login:
    """Who registered the address first, and does not own it."""
    return await api.login(email)


async def owner_verifies(api: Api, email: str) -> Answer:
    answer = await api.call("POST", "/register", {"email": email, "password": OWNERS})
    assert answer.status == 202
    await asyncio.sleep(0.2)
    return await api.call("POST", "/verify-email", {"token": await api.mailed_token(email)})


@pytest.mark.parametrize(("path", "body"), ADDITIONS.values(), ids=ADDITIONS.keys())
async def test_nothing_that_lets_somebody_in_is_added_before_the_address_is_verified(
    stranger: Login, path: str, body: dict[str, Any]
) -> None:
    answer = await stranger.call("POST", path, body)
    assert (answer.status, answer.code) == (403, "email_not_verified")


async def test_the_owner_who_verifies_later_meets_no_factor_of_the_strangers(
    api: Api, email: str, stranger: Login
) -> None:
    for path, body in ADDITIONS.values():
        await stranger.call("POST", path, body)
    assert (await owner_verifies(api, email)).status == 200
    assert (await stranger.call("GET", "/me")).code == "session_revoked"
    answer = await api.call("POST", "/login", {"email": email, "password": OWNERS})
    assert answer.data["mfaRequired"] is False
    owner = Login(api, answer.data)
    overview = (await owner.call("GET", "/2fa")).data
    assert (overview["totp"], overview["recoveryCodes"], overview["passkeys"]) == (None, None, 0)
    assert (await owner.call("GET", "/me/identities")).data["identities"] == []
    assert answer.data["user"]["phoneNumber"] is None


async def test_a_stranger_who_hammers_while_the_owner_verifies_leaves_nothing_behind(
    api: Api, email: str, stranger: Login
) -> None:
    """The session ends a moment after the address counts as verified: nothing slips in between."""
    over = asyncio.Event()

    async def hammer() -> set[int]:
        statuses = set()
        while not over.is_set():
            for path in ("/2fa/setup", "/webauthn/register/options"):
                statuses.add((await stranger.call("POST", path, {})).status)
        return statuses

    hammering = asyncio.create_task(hammer())
    assert (await owner_verifies(api, email)).status == 200
    over.set()
    assert await hammering <= {403, 401}


async def test_a_reset_is_the_owner_s_way_back_and_keeps_no_session_of_the_stranger_s(
    api: Api, email: str, stranger: Login, connect: Any
) -> None:
    """Nor a socket, though it is asked to: nobody proved the address before."""
    live = await connect(api.url, stranger.access_token)
    assert (await api.call("POST", "/password/forgot", {"email": email})).status == 202
    body = {"token": await mailed(api, email, RESET), "password": OWNERS, "keepSessions": True}
    answer = (await api.call("POST", "/password/reset", body)).data
    assert (answer["user"]["emailVerified"], answer["revoked"], answer["delivery"]["closed"]) == (True, 1, 1)
    assert (await live.wait("session-revoked"))["reason"] == "password_changed"
    await asyncio.wait_for(live.gone.wait(), 5)
    assert (await stranger.call("GET", "/me")).code == "session_revoked"
    refreshed = await api.call("POST", "/refresh", {"refreshToken": stranger.refresh_token})
    assert refreshed.code == "session_revoked"
    for password, status in ((PASSWORD, 401), (OWNERS, 200)):
        assert (await api.call("POST", "/login", {"email": email, "password": password})).status == status


@pytest.mark.parametrize(("method", "path", "body", "status"), REMOVALS.values(), ids=REMOVALS.keys())
async def test_what_lets_somebody_in_is_taken_off_without_a_verified_address(
    stranger: Login, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    assert (await stranger.call(method, path, body)).status == status


async def test_a_provider_is_taken_off_without_a_verified_address(
    browser: Any, http: Any, provider: OpenIdServer
) -> None:
    person = Person(browser, http, provider)
    await person.is_known(email_verified=False)
    assert await person.log_in() == "/"
    assert (await person.me()).data["user"]["emailVerified"] is False
    assert (await browser.call("POST", "/password/change", {"password": PASSWORD})).status == 200
    [identity] = (await browser.call("GET", "/me/identities")).data["identities"]
    assert (await browser.call("DELETE", f"/me/identities/{identity['id']}")).status == 200
    assert (await browser.call("GET", "/me/identities")).data["identities"] == []


async def test_whoever_proved_the_address_sets_up_what_they_like(api: Api, email: str) -> None:
    assert (await api.call("POST", "/verify-email", {"token": await api.mailed_token(email)})).status == 200
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await login.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    body = {"credential": SoftPasskey(ORIGIN).create(options)}
    assert (await login.call("POST", "/webauthn/register/verify", body)).status == 200
    waiting = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data
    assert set(waiting["methods"]) >= {"totp", "passkey"}
