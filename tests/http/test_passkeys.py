"""Passkeys over a real node: the only factor, the second one, one's own list, and everything that is not one."""

import asyncio
import copy
import json
import re
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from support.authenticator import Authenticator
from support.clients import PASSWORD, Answer, Api, Login
from support.mailbox import mailed
from support.passkeys import USER_PRESENT, USER_VERIFIED, SoftPasskey

from auth.login.passkeys.login import MOST_PASSKEYS

ORIGIN = "http://localhost:8000"


async def add(login: Login, passkey: SoftPasskey, **more: Any) -> Answer:
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    return await login.call("POST", "/webauthn/register/verify", {"credential": passkey.create(options), **more})


async def login_options(api: Api, **body: Any) -> Any:
    return (await api.call("POST", "/webauthn/login/options", body)).data["options"]


async def enter(api: Api, credential: Any, **more: Any) -> Answer:
    return await api.call("POST", "/webauthn/login/verify", {"credential": credential, **more})


@pytest.fixture
async def email(api: Api) -> str:
    return await api.register()


@pytest.fixture
async def login(api: Api, email: str) -> Login:
    return await api.login(email)


@pytest.fixture
async def passkey(login: Login) -> SoftPasskey:
    made = SoftPasskey(ORIGIN)
    assert (await add(login, made, name="Laptop")).status == 200
    return made


@pytest.mark.parametrize("delivery", ["body", "cookie", "cookies"])
async def test_a_passkey_alone_logs_in_over_every_delivery(
    node: Any, http: Any, email: str, passkey: SoftPasskey, delivery: str
) -> None:
    api = Api(node.url, http)
    credential = passkey.get(await login_options(api))
    answer = await api.call(
        "POST",
        "/webauthn/login/verify",
        {"credential": credential, "delivery": delivery, "deviceName": "Phone"},
        headers={"Origin": "http://127.0.0.1:8000"},
    )
    assert answer.status == 200, answer.body
    assert (answer.data["user"]["email"], answer.data["session"]["device"]["name"]) == (email, "Phone")
    assert answer.data["session"]["amr"] == ["hwk", "mfa"]
    assert ("refreshToken" in answer.data) == (delivery == "body")
    assert (await Login(api, answer.data).call("GET", "/me")).data["user"]["email"] == email


@pytest.mark.parametrize("attachment", ["platform", "of a later standard", "", None])
async def test_how_an_authenticator_is_attached_makes_no_difference(
    api: Api, login: Login, attachment: str | None
) -> None:
    passkey = SoftPasskey(ORIGIN)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    attached = {"authenticatorAttachment": attachment}
    added = await login.call(
        "POST", "/webauthn/register/verify", {"credential": passkey.create(options) | attached}
    )
    assert added.status == 200, added.body
    assert (await enter(api, passkey.get(await login_options(api)) | attached)).status == 200


async def test_the_options_name_nobody(api: Api, passkey: SoftPasskey) -> None:
    first = await login_options(api)
    assert (first["allowCredentials"], first["userVerification"], first["rpId"]) == ([], "required", "localhost")


async def test_beside_a_password_a_passkey_is_the_second_factor(
    api: Api, email: str, passkey: SoftPasskey
) -> None:
    waiting = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data
    assert (waiting["mfaRequired"], waiting["methods"]) == (True, ["passkey"])
    options = await login_options(api, mfaToken=waiting["mfaToken"])
    assert [each["id"] for each in options["allowCredentials"]] == [passkey.get(options)["id"]]
    # A key that knows its user's touch and no more will do here.
    passkey.flags = USER_PRESENT
    body = {"mfaToken": waiting["mfaToken"], "method": "passkey", "credential": passkey.get(options)}
    answer = await api.call("POST", "/2fa/verify", body)
    assert answer.status == 200, answer.body
    assert answer.data["session"]["amr"] == ["pwd", "hwk", "mfa"]


async def test_a_waiting_login_is_finished_at_the_passkeys_own_door_too(
    api: Api, email: str, passkey: SoftPasskey
) -> None:
    token = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data["mfaToken"]
    credential = passkey.get(await login_options(api, mfaToken=token))
    assert (await enter(api, credential, mfaToken=token)).data["user"]["email"] == email


async def test_a_challenge_of_one_login_finishes_no_other(api: Api, email: str, passkey: SoftPasskey) -> None:
    one, other = [
        (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data["mfaToken"]
        for _ in range(2)
    ]
    credential = passkey.get(await login_options(api, mfaToken=one))
    body = {"mfaToken": other, "method": "passkey", "credential": credential}
    assert (await api.call("POST", "/2fa/verify", body)).code == "invalid_code"


async def test_a_step_up_by_passkey_wants_its_user_verified_on_http_and_on_the_socket(
    api: Api, login: Login, passkey: SoftPasskey, connect: Any
) -> None:
    """As a device that was found unlocked, its key in it: that somebody is there proves nothing."""
    live = await connect(api.url, login.access_token)
    for flags, ok in ((USER_PRESENT, False), (USER_PRESENT | USER_VERIFIED, True)):
        passkey.flags = flags
        by_http = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
        by_socket = (await live.ask("step-up-passkey-options"))["options"]
        assert (by_http["userVerification"], by_socket["userVerification"]) == ("required", "required")
        answer = await login.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(by_http)})
        ack = await live.ask("step-up", {"method": "passkey", "credential": passkey.get(by_socket)})
        assert (answer.status == 200, ack["ok"]) == (ok, ok)
        if not ok:
            assert (answer.code, ack["code"]) == ("invalid_code", "invalid_code")


async def test_a_passkey_steps_up(login: Login, passkey: SoftPasskey) -> None:
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    answer = await login.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(options)})
    assert answer.status == 200, answer.body
    assert "assuredUntil" in answer.data


async def test_a_waiting_socket_finishes_by_passkey(
    api: Api, email: str, passkey: SoftPasskey, connect: Any
) -> None:
    token = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data["mfaToken"]
    waiting = await connect(api.url, None, mfa_token=token)
    options = (await waiting.ask("mfa-passkey-options"))["options"]
    ack = await waiting.ask("mfa-verify", {"method": "passkey", "credential": passkey.get(options)})
    assert ack["ok"], ack
    assert ack["user"]["email"] == email
    assert (await waiting.wait("ready"))["sessionId"] == ack["session"]["sessionId"]
    stepped = (await waiting.ask("step-up-passkey-options"))["options"]
    assert (await waiting.ask("step-up", {"method": "passkey", "credential": passkey.get(stepped)}))["ok"]


async def test_asvs_6_7_2_challenges_are_of_256_bits_and_never_drawn_twice(
    api: Api, email: str, login: Login, passkey: SoftPasskey
) -> None:
    token = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data["mfaToken"]
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    body = {"method": "passkey", "credential": passkey.get(options)}
    assert (await login.call("POST", "/step-up", body)).status == 200
    challenges = []
    for _ in range(10):
        drawn = [await login_options(api), await login_options(api, mfaToken=token)]
        for ceremony in ("step-up", "register"):
            drawn.append((await login.call("POST", f"/webauthn/{ceremony}/options", {})).data["options"])
        challenges += [options["challenge"] for options in drawn]
    assert {len(urlsafe_b64decode(f"{each}=")) for each in challenges} == {32}
    assert len(set(challenges)) == len(challenges) == 40


async def test_a_challenge_is_answered_once(api: Api, passkey: SoftPasskey) -> None:
    credential = passkey.get(await login_options(api))
    answers = await asyncio.gather(*(enter(api, credential) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    assert {answer.code for answer in answers if answer.status != 200} == {"invalid_code"}


async def test_a_wrong_answer_uses_the_challenge_up_too(api: Api, passkey: SoftPasskey) -> None:
    options = await login_options(api)
    wrong = passkey.get(options)
    wrong["response"]["signature"] = wrong["response"]["signature"][:-4] + "AAAA"
    assert (await enter(api, wrong)).code == "invalid_code"
    assert (await enter(api, passkey.get(options))).code == "invalid_code"


async def test_a_copy_whose_counter_lags_is_refused_and_the_owner_told(
    api: Api, email: str, passkey: SoftPasskey
) -> None:
    thief = copy.copy(passkey)
    for _ in range(2):
        assert (await enter(api, passkey.get(await login_options(api)))).status == 200
    assert (await enter(api, thief.get(await login_options(api)))).code == "invalid_code"
    assert await mailed(api, email, re.compile(r"(an outdated\s+signature counter)"))


async def test_the_owner_is_told_of_a_copy_whatever_mail_a_stranger_asks_for(start_node: Any, http: Any) -> None:
    node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_MAIL="1/hour")
    api = Api(node.url, http)
    email = await api.register()
    passkey = SoftPasskey(ORIGIN)
    assert (await add(await api.login(email), passkey)).status == 200
    for path in ("/register", "/resend-verification", "/password/forgot"):
        for _ in range(2):
            body = {"email": email} | ({"password": PASSWORD} if path == "/register" else {})
            assert (await api.call("POST", path, body)).status == 202
    thief = copy.copy(passkey)
    for _ in range(2):
        assert (await enter(api, passkey.get(await login_options(api)))).status == 200
    assert (await enter(api, thief.get(await login_options(api)))).code == "invalid_code"
    assert await mailed(api, email, re.compile(r"(an outdated\s+signature counter)"))


async def test_a_key_that_does_not_count_goes_on_working(api: Api, login: Login) -> None:
    silent = SoftPasskey(ORIGIN)
    assert (await add(login, silent)).status == 200
    for _ in range(2):
        silent.count = -1
        assert (await enter(api, silent.get(await login_options(api)))).status == 200


HOSTILE: dict[str, Any] = {
    "another origin": lambda key: setattr(key, "origin", "https://evil.example"),
    "another site's id": lambda key: setattr(key, "rp_id", "evil.example"),
    "not verified": lambda key: setattr(key, "flags", USER_PRESENT),
    "not present": lambda key: setattr(key, "flags", 0),
    "no handle": lambda key: setattr(key, "user_handle", b""),
    "somebody else's handle": lambda key: setattr(key, "user_handle", b"somebody else"),
    "another credential": lambda key: setattr(key, "credential_id", b"x" * 32),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_is_not_as_it_should_be_lets_nobody_in(api: Api, passkey: SoftPasskey, change: Any) -> None:
    change(passkey)
    answer = await enter(api, passkey.get(await login_options(api)))
    assert (answer.status, answer.code) == (401, "invalid_code")


@pytest.mark.parametrize("more", [{"crossOrigin": True}, {"topOrigin": "https://evil.example"}])
async def test_a_ceremony_in_another_sites_frame_is_refused(api: Api, login: Login, more: Any) -> None:
    passkey = SoftPasskey(ORIGIN)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    made = passkey.create(options, **more)
    assert (await login.call("POST", "/webauthn/register/verify", {"credential": made})).code == "invalid_code"
    assert (await add(login, passkey)).status == 200
    assert (await enter(api, passkey.get(await login_options(api), **more))).code == "invalid_code"


MALFORMED: dict[str, Any] = {
    "nothing": {},
    "no response": {"id": "a", "rawId": "a", "type": "public-key"},
    "a list": {"id": [], "rawId": [], "type": [], "response": []},
    "numbers": {"id": 1, "rawId": 1, "type": 1, "response": {"clientDataJSON": 1, "authenticatorData": 2}},
    "no json": {"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "AAAA"}},
    "deep json": {"rawId": "AA", "response": {"clientDataJSON": "W1tb" * 1000}},
    "nested": {"rawId": "AA", "response": {"clientDataJSON": "AA"}, "more": json.loads("[" * 500 + "]" * 500)},
    "huge": {"rawId": "A" * 40_000, "response": {"clientDataJSON": "A" * 9_000}},
}


@pytest.mark.parametrize("credential", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_credential_is_refused(api: Api, login: Login, credential: Any) -> None:
    assert (await enter(api, credential)).code == "invalid_code"
    answer = await login.call("POST", "/webauthn/register/verify", {"credential": credential})
    assert answer.code == "invalid_code"


async def test_damaged_parts_of_a_good_answer_are_refused(api: Api, passkey: SoftPasskey) -> None:
    for part in ("authenticatorData", "signature", "clientDataJSON", "userHandle"):
        for damage in ("", "AAAA", "!", "_" * 8000):
            credential = passkey.get(await login_options(api))
            credential["response"][part] = damage
            assert (await enter(api, credential)).status == 401, (part, damage)


async def test_damaged_attestation_is_refused(login: Login) -> None:
    for damage in ("", "AAAA", "oWNmbXRkbm9uZQ", "v" * 8000):
        options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
        credential = SoftPasskey(ORIGIN).create(options)
        credential["response"]["attestationObject"] = damage
        answer = await login.call("POST", "/webauthn/register/verify", {"credential": credential})
        assert answer.code == "invalid_code", damage


async def test_a_registration_belongs_to_whoever_began_it(api: Api, login: Login) -> None:
    stranger = await api.login(await api.register())
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    body = {"credential": SoftPasskey(ORIGIN).create(options)}
    assert (await stranger.call("POST", "/webauthn/register/verify", body)).code == "invalid_code"


async def test_a_registration_begun_in_one_session_is_not_finished_in_another(
    api: Api, email: str, login: Login
) -> None:
    other = await api.login(email)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    body = {"credential": SoftPasskey(ORIGIN).create(options)}
    assert (await other.call("POST", "/webauthn/register/verify", body)).code == "invalid_code"
    # That answer has used it up for its own session too.
    assert (await login.call("POST", "/webauthn/register/verify", body)).code == "invalid_code"


async def test_a_step_up_begun_in_one_session_is_not_finished_in_another(
    api: Api, email: str, login: Login
) -> None:
    other = await api.login(email)
    passkey = SoftPasskey(ORIGIN)
    assert (await add(login, passkey)).status == 200
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    body = {"method": "passkey", "credential": passkey.get(options)}
    assert (await other.call("POST", "/step-up", body)).code == "invalid_code"
    options = (await other.call("POST", "/webauthn/step-up/options", {})).data["options"]
    body = {"method": "passkey", "credential": passkey.get(options)}
    assert (await other.call("POST", "/step-up", body)).status == 200


async def test_browsers_are_told_how_a_passkey_can_be_reached(api: Api, email: str, login: Login) -> None:
    passkey, bare = SoftPasskey(ORIGIN), SoftPasskey(ORIGIN)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    made = passkey.create(options)
    made["response"]["transports"] = ["usb", "nfc", "usb", "x" * 4000, 7, None, "carrier-pigeon"]
    assert (await login.call("POST", "/webauthn/register/verify", {"credential": made})).status == 200
    stepped = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    await login.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(stepped)})
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    made = bare.create(options)
    made["response"]["transports"] = "usb"
    assert (await login.call("POST", "/webauthn/register/verify", {"credential": made})).status == 200
    token = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data["mfaToken"]
    excluded = (await login.call("POST", "/webauthn/register/options", {})).data["options"]["excludeCredentials"]
    for listed in ((await login_options(api, mfaToken=token))["allowCredentials"], excluded):
        assert [each.get("transports") for each in listed] == [["nfc", "usb"], None]


async def test_one_credential_belongs_to_one_account(api: Api, login: Login, passkey: SoftPasskey) -> None:
    stranger = await api.login(await api.register())
    assert (await add(stranger, copy.copy(passkey))).code == "conflict"
    assert (await enter(api, passkey.get(await login_options(api)))).status == 200


async def test_of_many_added_at_once_no_more_are_kept_than_are_allowed(login: Login) -> None:
    options = [
        (await login.call("POST", "/webauthn/register/options", {})).data["options"]
        for _ in range(MOST_PASSKEYS + 4)
    ]
    made = [{"credential": SoftPasskey(ORIGIN).create(each)} for each in options]
    await asyncio.gather(*(login.call("POST", "/webauthn/register/verify", body) for body in made[1:]))
    assert len((await login.call("GET", "/webauthn/passkeys")).data["passkeys"]) <= MOST_PASSKEYS
    assert (await login.call("GET", "/2fa")).data["passkeys"] <= MOST_PASSKEYS


async def test_a_session_that_ends_meanwhile_leaves_no_passkey_behind(api: Api, email: str) -> None:
    owner = await api.login(email)
    for _ in range(6):
        thief = await api.login(email)
        options = (await thief.call("POST", "/webauthn/register/options", {})).data["options"]
        passkey = SoftPasskey(ORIGIN)
        added, _ = await asyncio.gather(
            thief.call("POST", "/webauthn/register/verify", {"credential": passkey.create(options)}),
            owner.call("DELETE", f"/sessions/{thief.session_id}"),
        )
        if added.status != 200:
            assert (await enter(api, passkey.get(await login_options(api)))).code == "invalid_code"
            return
        [kept] = (await owner.call("GET", "/webauthn/passkeys")).data["passkeys"]
        stepped = (await owner.call("POST", "/webauthn/step-up/options", {})).data["options"]
        await owner.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(stepped)})
        await owner.call("DELETE", f"/webauthn/passkeys/{kept['id']}")


async def test_ones_own_passkeys_are_listed_renamed_and_removed(
    api: Api, email: str, login: Login, passkey: SoftPasskey
) -> None:
    assert await mailed(api, email, re.compile(r"(A passkey was added)"))
    [listed] = (await login.call("GET", "/webauthn/passkeys")).data["passkeys"]
    assert (listed["name"], listed["transports"], listed["lastUsedAt"]) == ("Laptop", ["hybrid", "internal"], None)
    assert (await login.call("GET", "/2fa")).data["passkeys"] == 1
    path = f"/webauthn/passkeys/{listed['id']}"
    assert (await login.call("PATCH", path, {"name": "Desk"})).data["passkey"]["name"] == "Desk"
    stranger = await api.login(await api.register())
    assert (await stranger.call("PATCH", path, {"name": "Mine"})).code == "not_found"
    assert (await stranger.call("DELETE", path)).code == "not_found"
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    await login.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(options)})
    assert (await login.call("DELETE", path)).status == 200
    assert (await enter(api, passkey.get(await login_options(api)))).code == "invalid_code"
    assert await mailed(api, email, re.compile(r"(A passkey was removed)"))


async def test_asvs_7_5_1_a_passkey_is_not_added_on_a_weak_proof(
    api: Api, login: Login, passkey: SoftPasskey
) -> None:
    """This login was by password alone, and there is a second factor now."""
    answer = await login.call("POST", "/webauthn/register/options", {})
    assert (answer.status, answer.code) == (401, "step_up_required")
    assert answer.body["methods"] == ["passkey"]


async def test_the_authenticator_app_and_a_passkey_stand_side_by_side(api: Api, email: str, login: Login) -> None:
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await login.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    assert (await add(login, SoftPasskey(ORIGIN))).status == 200
    waiting = (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).data
    assert set(waiting["methods"]) >= {"totp", "passkey", "recovery_code"}
