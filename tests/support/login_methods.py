"""Login methods that end with an HTTP request. Each is prepared with a new account, up to the last request."""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from support.clients import PASSWORD, Api
from support.mailbox import mailed
from support.passkeys import SoftPasskey
from support.secured import secure

PAGE = "http://localhost:8000"
CODE = re.compile(r"^(\d{6}) is your code")
_NUMBERS = itertools.count(secrets.randbelow(9_000_000) + 20_000_000)

# The path and the body of the last request.
Request = tuple[str, dict[str, Any]]


def new_number() -> str:
    """Return a Dutch mobile number unique to this test."""
    return f"+316{next(_NUMBERS)}"


@dataclass(frozen=True)
class Way:
    """A login method. `begin` takes a delivery and performs all but the last request of the login."""

    amr: tuple[str, ...]
    begin: Callable[[Api, str], Awaitable[Request]]


async def by_password(api: Api, delivery: str) -> Request:
    return "/login", {"email": await api.register(), "password": PASSWORD, "delivery": delivery}


async def by_app(api: Api, delivery: str) -> Request:
    account = await secure(api)
    token = await account.begin(delivery=delivery)
    return "/2fa/verify", {"mfaToken": token, "code": await account.app.code()}


async def by_recovery_code(api: Api, delivery: str) -> Request:
    account = await secure(api)
    return "/2fa/verify", {"mfaToken": await account.begin(delivery=delivery)} | account.recovery(0)


async def by_passkey(api: Api, delivery: str) -> Request:
    login, passkey = await api.login(await api.register()), SoftPasskey(PAGE)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    added = await login.call("POST", "/webauthn/register/verify", {"credential": passkey.create(options)})
    assert added.status == 200, added.body
    options = (await api.call("POST", "/webauthn/login/options", {})).data["options"]
    return "/webauthn/login/verify", {"credential": passkey.get(options), "delivery": delivery}


async def by_phone(api: Api, delivery: str) -> Request:
    login, number = await api.login(await api.register()), new_number()
    await login.call("POST", "/phone/send-otp", {"phoneNumber": number})
    first = await mailed(api, number, CODE)
    added = await login.call("POST", "/phone/verify-otp", {"phoneNumber": number, "otp": first})
    assert added.status == 200, added.body
    asked = await api.call("POST", "/phone/send-otp", {"phoneNumber": number})
    assert asked.status == 202, asked.body
    code = first
    while code == first:
        code = await mailed(api, number, CODE)
    # The code is used by another browser than requested it, so the request id is required.
    request_id = asked.data["requestId"]
    return "/phone/verify-otp", {
        "phoneNumber": number,
        "otp": code,
        "requestId": request_id,
        "delivery": delivery,
    }


WAYS = {
    "password": Way(("pwd",), by_password),
    "app": Way(("pwd", "otp", "mfa"), by_app),
    "recovery code": Way(("pwd", "recovery_code", "mfa"), by_recovery_code),
    "passkey": Way(("hwk", "mfa"), by_passkey),
    "phone": Way(("sms",), by_phone),
}
