"""One's own account over a real node: what was done to it, all that is kept of it, and its end."""

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from support.administration import grant
from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Api, Live, Login
from support.mailbox import mailed
from support.passkeys import SoftPasskey
from support.waiting import eventually

from auth.accounts.deletion import GRACE
from realtime.broker.redis_keys import Keys


@pytest.fixture
async def email(api: Api) -> str:
    """The address of an account with the mails and audit events of a registration."""
    return await api.register_by_mail()


@pytest.fixture
async def login(api: Api, email: str) -> Login:
    return await api.login(email, device="Laptop")


async def test_the_security_log_tells_what_was_done_newest_first(api: Api, email: str, login: Login) -> None:
    await api.call("POST", "/login", {"email": email, "password": "a wrong password"})
    await (await api.login(email)).call("POST", "/logout")
    log = (await login.call("GET", "/me/security-log")).data
    assert [event["kind"] for event in log["events"]] == [
        "session_revoked",
        "login",
        "login_failed",
        "login",
        "email_verified",
        "registered",
    ]
    assert log["events"][1]["ip"] == "127.0.0.1"
    assert log["events"][1]["details"]["amr"] == "pwd"
    assert log["next"] is None


async def test_it_comes_in_pages_without_a_gap(login: Login) -> None:
    whole = (await login.call("GET", "/me/security-log")).data["events"]
    seen, before = [], ""
    for _ in range(len(whole)):
        page = (await login.call("GET", f"/me/security-log?limit=1{before}")).data
        seen += page["events"]
        before = f"&before={page['next']}"
    assert seen == whole
    assert page["next"] is None


async def test_nobody_reads_anothers(api: Api, login: Login) -> None:
    stranger = await api.login(await api.register())
    mine = {event["id"] for event in (await login.call("GET", "/me/security-log")).data["events"]}
    theirs = {event["id"] for event in (await stranger.call("GET", "/me/security-log")).data["events"]}
    assert not mine & theirs


@pytest.mark.parametrize("query", ["before=x", "limit=0", "limit=1000", "limit=x", "userId=x"])
async def test_a_query_that_will_not_do_is_refused(login: Login, query: str) -> None:
    answer = await login.call("GET", f"/me/security-log?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_an_export_holds_all_that_is_kept_and_no_secret(api: Api, email: str, login: Login) -> None:
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    codes = (await login.call("POST", "/2fa/enable", {"code": await app.code()})).data["recoveryCodes"]
    export = (await login.call("GET", "/me/export")).data["export"]
    assert export["account"]["email"] == email
    assert [session["device"]["name"] for session in export["sessions"]] == ["Laptop"]
    assert export["passkeys"] == export["linkedLogins"] == []
    overview = (await login.call("GET", "/2fa")).data
    assert export["secondFactors"] == {
        "totp": overview["totp"],
        "recoveryCodes": {"left": len(codes)},
        "loginApproval": True,
    }
    assert {(message["kind"], message["to"]) for message in export["messages"]} >= {("verify_address", email)}
    assert "totp_enabled" in {event["kind"] for event in export["securityLog"]}
    text = json.dumps(export)
    for secret in (app.secret, *codes, login.refresh_token, "argon2", "nonce", "verify-email?token"):
        assert secret not in text


async def test_an_export_lists_every_way_in_by_name_and_date(api: Api, email: str, login: Login) -> None:
    number = f"+316{secrets.randbelow(9_000_000) + 10_000_000}"
    asked = (await login.call("POST", "/phone/send-otp", {"phoneNumber": number})).data
    code = await mailed(api, number, re.compile(r"^(\d{6}) is your code"))
    answer = {"phoneNumber": number, "otp": code, "requestId": asked["requestId"]}
    assert (await login.call("POST", "/phone/verify-otp", answer)).status == 200
    passkey = SoftPasskey(ORIGIN)
    options = (await login.call("POST", "/webauthn/register/options", {})).data["options"]
    added = {"credential": passkey.create(options), "name": "Laptop"}
    made = (await login.call("POST", "/webauthn/register/verify", added)).data["passkey"]
    options = (await login.call("POST", "/webauthn/step-up/options", {})).data["options"]
    await login.call("POST", "/step-up", {"method": "passkey", "credential": passkey.get(options)})
    export = (await login.call("GET", "/me/export")).data["export"]
    assert export["account"]["phoneNumber"] == number
    assert export["account"]["phoneVerifiedAt"].endswith("Z")
    assert [(each["name"], each["createdAt"]) for each in export["passkeys"]] == [("Laptop", made["createdAt"])]
    assert passkey.credential_id.hex() not in json.dumps(export)
    assert {"publicKey", "signCount", "id"}.isdisjoint(export["passkeys"][0])


async def test_an_export_says_of_an_account_without_second_factors_that_it_has_none(login: Login) -> None:
    export = (await login.call("GET", "/me/export")).data["export"]
    assert export["secondFactors"] == {"totp": None, "recoveryCodes": None, "loginApproval": True}


async def test_exports_of_one_account_are_limited(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_EXPORT="2/hour").url, http)
    email = await api.register()
    for _ in range(2):
        assert (await (await api.login(email)).call("GET", "/me/export")).status == 200
    refused = await (await api.login(email)).call("GET", "/me/export")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 60
    other = await api.login(await api.register())
    assert (await other.call("GET", "/me/export")).status == 200


async def test_asvs_7_4_2_asking_for_deletion_ends_every_session_at_once(
    api: Api, email: str, login: Login, connect: Any
) -> None:
    phone = await api.login(email)
    live = await connect(api.url, phone.access_token)
    answer = await login.call("DELETE", "/me")
    in_days = datetime.fromisoformat(answer.data["deletedAt"]) - datetime.now(UTC)
    assert GRACE - timedelta(minutes=1) < in_days <= GRACE
    assert (await live.wait("session-revoked"))["reason"] == "account_deleted"
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    assert (await login.call("GET", "/me")).code == "session_revoked"
    assert await mailed(api, email, re.compile(r"(The deletion of your account was requested)"))


async def test_it_can_be_taken_back_by_logging_in(api: Api, email: str, login: Login) -> None:
    await login.call("DELETE", "/me")
    again = await api.login(email)
    assert again.data["user"]["deletionAt"]
    restored = (await again.call("POST", "/me/restore", {})).data["user"]
    assert "deletionAt" not in restored
    assert "deletionAt" not in (await again.call("GET", "/me")).data["user"]
    assert await mailed(api, email, re.compile(r"(was cancelled)"))


async def test_asked_twice_the_first_moment_stays(api: Api, email: str, login: Login) -> None:
    first = (await login.call("DELETE", "/me")).data["deletedAt"]
    assert (await (await api.login(email)).call("DELETE", "/me")).data["deletedAt"] == first


async def test_the_last_administrator_stays(installation: Any, start_node: Any, http: Any) -> None:
    api = Api(start_node().url, http)
    first, second = await api.register(), await api.register()
    grant(installation, first, "admin")
    login = await api.login(first)
    assert (await login.call("DELETE", "/me")).code == "conflict"
    assert "deletionAt" not in (await login.call("GET", "/me")).data["user"]
    grant(installation, second, "admin")
    assert (await (await api.login(first)).call("DELETE", "/me")).status == 200
    assert (await (await api.login(second)).call("DELETE", "/me")).code == "conflict"


async def test_after_its_time_nothing_is_left_but_the_audit_trail(
    installation: Any, start_node: Any, http: Any, redis_client: Any
) -> None:
    api = Api(start_node().url, http)
    email = await api.register_by_mail()
    login = await api.login(email)
    user_id = login.data["user"]["userId"]
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    await login.call("POST", "/2fa/enable", {"code": await app.code()})
    live = await Live.connect(api.url, login.access_token)
    assert (await live.ask("presence-set", {"state": "away", "text": "on holiday"}))["ok"]
    chosen = Keys(installation.name).chosen_state(user_id)
    assert await redis_client.exists(chosen) == 1
    await login.call("DELETE", "/me")
    await live.until_gone()
    with MongoClient[Any](installation.services.mongo, tz_aware=True) as client:
        database = client[installation.name]
        assert database["mails"].count_documents({"to": email}) >= 3
        past = datetime.now(UTC) - timedelta(seconds=1)
        database["users"].update_one({"_id": user_id}, {"$set": {"deletionAt": past}})
        # A node that starts looks at once; the one that runs does every minute.
        start_node()

        async def erased() -> bool:
            # Recorded last.
            event = {"userId": user_id, "kind": "account_erased"}
            return database["audit_events"].count_documents(event) == 1

        await eventually(erased, "the account is erased", timeout=30)
        for name in database.list_collection_names():
            # Facts name the user by id for some days: that the account is erased is one.
            if name not in {"audit_events", "facts"}:
                assert database[name].count_documents({"$or": [{"userId": user_id}, {"_id": user_id}]}) == 0, name
        assert database["mails"].count_documents({"to": email}) == 0
        assert await redis_client.exists(chosen) == 0
        assert database["audit_events"].count_documents({"userId": user_id, "kind": "deletion_asked"}) == 1
    answer = await api.call("POST", "/login", {"email": email, "password": PASSWORD})
    assert answer.code == "invalid_credentials"
    # The address is free again.
    assert await api.register(email) == email


async def test_asvs_7_5_1_export_and_deletion_want_a_young_proof(
    installation: Any, start_node: Any, http: Any
) -> None:
    login = await (api := Api(start_node().url, http)).login(await api.register())
    with MongoClient[Any](installation.services.mongo, tz_aware=True) as client:
        client[installation.name]["sessions"].update_one(
            {"_id": login.session_id}, {"$set": {"loggedInAt": datetime.now(UTC) - timedelta(hours=1)}}
        )
    for method, path in (("GET", "/me/export"), ("DELETE", "/me")):
        assert (await login.call(method, path)).code == "step_up_required"
    await login.call("POST", "/step-up", {"method": "password", "password": PASSWORD})
    assert (await login.call("GET", "/me/export")).status == 200
