"""OWASP ASVS 5.0, V6.3, V6.5 and V6.7: what is told, taken off and kept of the factors of an account."""

import asyncio
import copy
import re

from cryptography.hazmat.primitives.asymmetric import ec
from support.authenticator import Authenticator
from support.clients import PASSWORD, Answer, Api, Login
from support.mailbox import mailed
from support.passkeys import SoftPasskey
from support.secured import secure

ORIGIN = "http://localhost:8000"
OTHER_PASSWORD = "a kettle on a cold stove"
NUMBER = "+31613572468"
CODE = re.compile(r"^(\d{6}) is your code")


async def add_passkey(login: Login, passkey: SoftPasskey) -> Answer:
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    return await login.call("POST", "/webauthn/register/verify", {"credential": passkey.create(options)})


async def enter(api: Api, passkey: SoftPasskey) -> Answer:
    options = (await api.call("POST", "/webauthn/login/options", {})).data["options"]
    return await api.call("POST", "/webauthn/login/verify", {"credential": passkey.get(options)})


async def add_phone(login: Login) -> None:
    asked = await login.call("POST", "/phone/send-otp", {"phoneNumber": NUMBER})
    assert asked.status == 202, asked.body
    code = await mailed(login.api, NUMBER, CODE)
    assert (await login.call("POST", "/phone/verify-otp", {"phoneNumber": NUMBER, "otp": code})).status == 200


async def test_asvs_6_3_7_every_change_of_how_somebody_gets_in_is_told_by_mail(api: Api) -> None:
    email = await api.register()
    login = await api.login(email)

    async def told(subject: str) -> None:
        for _ in range(100):
            messages = (await api.call("GET", "/dev/outbox.json")).body["messages"]
            if (email, subject) in {(each["to"], each["subject"]) for each in messages}:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"nobody was told: {subject}")

    body = {"currentPassword": PASSWORD, "password": OTHER_PASSWORD}
    assert (await login.call("POST", "/password/change", body)).status == 200
    await told("Your password was changed")
    await add_phone(login)
    await told("A phone number was added")
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await login.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    await told("Two-factor login was turned on")
    assert (await add_passkey(login, SoftPasskey(ORIGIN))).status == 200
    await told("A passkey was added")
    assert (await login.call("POST", "/2fa/recovery-codes", {})).status == 200
    await told("New recovery codes were made")
    assert (await login.call("POST", "/2fa/disable", {})).status == 200
    await told("Two-factor login was turned off")
    assert (await login.call("POST", "/email/change", {"email": f"new-{email}"})).status == 202
    await told("Your account is to move to another address")


async def test_asvs_6_5_6_a_lost_app_and_its_recovery_codes_are_worth_nothing_once_taken_off(api: Api) -> None:
    account = await secure(api)
    assert (await account.login.call("POST", "/2fa/disable", {})).status == 200
    passkey = SoftPasskey(ORIGIN)
    assert (await add_passkey(account.login, passkey)).status == 200
    for answer in ({"code": await account.app.code()}, account.recovery(0)):
        refused = await api.call("POST", "/2fa/verify", {"mfaToken": await account.begin()} | answer)
        assert (refused.status, refused.code) == (401, "invalid_code")


async def test_asvs_6_5_6_lost_recovery_codes_are_void_once_there_are_new_ones(api: Api) -> None:
    account = await secure(api)
    assert (await account.login.call("POST", "/2fa/recovery-codes", {})).status == 200
    refused = await api.call("POST", "/2fa/verify", {"mfaToken": await account.begin()} | account.recovery(0))
    assert refused.code == "invalid_code"


async def test_asvs_6_5_6_a_lost_passkey_is_worth_nothing_once_taken_off(api: Api) -> None:
    login = await api.login(await api.register())
    lost = SoftPasskey(ORIGIN)
    assert (await add_passkey(login, lost)).status == 200
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    await login.call("POST", "/step-up", {"method": "passkey", "credential": lost.get(options)})
    [kept] = (await login.call("GET", "/webauthn/passkeys")).data["passkeys"]
    assert (await login.call("DELETE", f"/webauthn/passkeys/{kept['id']}")).status == 200
    assert (await enter(api, lost)).code == "invalid_code"


async def test_asvs_6_7_1_the_key_of_a_passkey_cannot_be_put_in_place_of_another(api: Api) -> None:
    owner, stranger = await api.login(await api.register()), await api.login(await api.register())
    passkey = SoftPasskey(ORIGIN)
    assert (await add_passkey(owner, passkey)).status == 200
    forged = copy.copy(passkey)
    forged.key = ec.generate_private_key(ec.SECP256R1())
    assert (await add_passkey(stranger, copy.copy(forged))).code == "conflict"
    [kept] = (await owner.call("GET", "/webauthn/passkeys")).data["passkeys"]
    path = f"/webauthn/passkeys/{kept['id']}"
    for more in ({"publicKey": "AAAA"}, {"userId": "somebody"}, {"signCount": 0}):
        assert (await owner.call("PATCH", path, {"name": "Mine"} | more)).code == "invalid_request"
    assert (await owner.call("PATCH", path, {"name": "Mine"})).status == 200
    assert (await enter(api, forged)).code == "invalid_code"
    assert (await enter(api, passkey)).data["user"]["userId"] == owner.data["user"]["userId"]
