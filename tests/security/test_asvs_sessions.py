"""OWASP ASVS 5.0, V7 Session Management: what begins, lasts and ends a session, over a real node."""

import asyncio
import base64
from typing import Any

import pytest
from security.conftest import claims_of
from support.clients import Api, Refused

from auth.http.cookies import ALL_COOKIES, DEVICE_COOKIE


async def test_asvs_7_2_1_a_session_is_judged_by_the_server_alone(api: Api, connect: Any) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    live = await connect(api.url, login.access_token)
    await other.call("DELETE", f"/sessions/{login.session_id}")
    # The client still holds a token whose signature and time are good.
    answer = await login.call("GET", "/me")
    assert (answer.status, answer.code) == (401, "session_revoked")
    assert (await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})).code == "session_revoked"
    with pytest.raises(Refused) as refused:
        await connect(api.url, login.access_token)
    assert refused.value.data["code"] == "session_revoked"
    # A socket that was live is closed, though its client neither asks nor sends anything.
    await live.until_gone()


async def test_asvs_7_2_2_tokens_are_made_anew_for_each_login_and_refresh(api: Api) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    tokens = [login.access_token, login.refresh_token, other.access_token, other.refresh_token]
    for _ in range(3):
        tokens += [(await login.refresh()).data[name] for name in ("accessToken", "refreshToken")]
    assert len(set(tokens)) == len(tokens)


async def test_asvs_7_2_3_a_refresh_token_cannot_be_guessed(api: Api) -> None:
    email = await api.register()
    tokens = [(await api.login(email)).refresh_token.removeprefix("rt1.") for _ in range(4)]
    raw = [base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)) for token in tokens]
    # Session id 16 B ‖ generation u32 ‖ nonce 16 B ‖ user id 16 B ‖ tag 32 B: 128 random bits in the nonce alone,
    # which is drawn from the system's source (tests/sessions/test_sessions.py).
    assert {len(each) for each in raw} == {84}
    nonces = {each[20:36] for each in raw}
    assert len(nonces) == len(raw)
    assert {8 * len(nonce) for nonce in nonces} == {128}
    assert len({each[:16] for each in raw}) == len(raw)
    for each in raw:
        for place in (0, 20, 36, 52):
            guess = bytearray(each)
            guess[place] ^= 1
            text = "rt1." + base64.urlsafe_b64encode(guess).rstrip(b"=").decode()
            assert (await api.call("POST", "/refresh", {"refreshToken": text})).code == "invalid_token"


async def test_asvs_7_2_4_every_login_begins_a_session_of_its_own_and_a_refresh_ends_the_old_token(
    api: Api,
) -> None:
    email = await api.register()
    login, again = await api.login(email), await api.login(email)
    assert login.session_id != again.session_id
    before = login.refresh_token
    assert (await login.refresh()).data["outcome"] == "rotated"
    assert (await login.call("GET", "/me")).status == 200  # the new pair is in use
    assert claims_of(login.access_token)["gen"] == 1
    await login.refresh()
    assert (await api.call("POST", "/refresh", {"refreshToken": before})).code == "refresh_reused"


async def test_asvs_7_3_1_a_session_nobody_uses_ends(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_REFRESH_TOKEN_SECONDS="2", VIGIL_SESSION_MAX_SECONDS="60").url, http)
    login = await api.login(await api.register())
    await asyncio.sleep(1)
    assert (await login.refresh()).data["outcome"] == "rotated"
    await asyncio.sleep(2.2)
    answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert (answer.status, answer.code) == (401, "session_expired")


async def test_asvs_7_3_2_a_session_ends_however_much_it_is_used(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_REFRESH_TOKEN_SECONDS="2", VIGIL_SESSION_MAX_SECONDS="3").url, http)
    login = await api.login(await api.register())
    for _ in range(2):
        await asyncio.sleep(1.2)
        assert (await login.refresh()).data["outcome"] == "rotated"
    await asyncio.sleep(1)
    answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert (answer.status, answer.code) == (401, "session_expired")


async def test_asvs_7_4_1_logging_out_ends_tokens_and_sockets_at_once(api: Api, connect: Any) -> None:
    login = await api.login(await api.register())
    live = await connect(api.url, login.access_token)
    assert (await login.call("POST", "/logout")).status == 200
    await live.until_gone()
    assert (await login.call("GET", "/me")).code == "session_revoked"
    assert (await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})).code == "session_revoked"


async def test_asvs_7_5_2_a_user_sees_every_session_and_ends_any_of_them(api: Api) -> None:
    email = await api.register()
    logins = [await api.login(email, device=name) for name in ("Laptop", "Phone", "Tablet")]
    laptop, phone, tablet = logins
    listed = (await laptop.call("GET", "/sessions")).data
    assert {each["device"]["name"] for each in listed["sessions"]} == {"Laptop", "Phone", "Tablet"}
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    assert (await laptop.call("POST", "/sessions/revoke-others")).data["revoked"] == 1
    assert (await tablet.call("GET", "/me")).code == "session_revoked"
    assert (await laptop.call("POST", "/logout-all")).data["revoked"] == 1
    assert (await laptop.call("GET", "/me")).code == "session_revoked"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/logout"), ("POST", "/logout-all"), ("DELETE", "/sessions/{own}"), ("DELETE", "/me")],
)
async def test_asvs_14_3_1_an_answer_that_ends_its_own_login_has_the_browser_drop_what_it_keeps(
    api: Api, method: str, path: str
) -> None:
    login = await api.login(await api.register(), delivery="cookies")
    answer = await api.call(method, path.format(own=login.session_id))
    assert answer.status == 200, answer.body
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert set(api.cookies).isdisjoint(ALL_COOKIES)
    assert DEVICE_COOKIE in api.cookies


async def test_asvs_14_3_1_and_no_other_answer_has(api: Api) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    answers = [
        await login.call("DELETE", f"/sessions/{other.session_id}"),
        await login.call("POST", "/sessions/revoke-others"),
        await login.call("GET", "/me"),
        await api.call("POST", "/logout", token="nonsense"),
        await login.call("POST", "/2fa/disable", {}),
    ]
    assert ["Clear-Site-Data" in answer.headers for answer in answers] == [False] * 5
