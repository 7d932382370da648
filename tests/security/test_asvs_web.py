"""OWASP ASVS 5.0, V3 Web Frontend Security and V4 API and Web Service: cookies, origins, proxies, WebSocket."""

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from support.clients import ORIGIN, PASSWORD, Api, Refused

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE

# Nothing is asked of GitHub before somebody comes back from there.
GITHUB = {"VIGIL_GITHUB_CLIENT_ID": "vigil", "VIGIL_GITHUB_CLIENT_SECRET": "secret"}


# What a browser sends of a cookie that a sibling host may set, whose name is none of ours but which a lenient
# parser takes for one; and ours beside another of the name, of which nobody knows which is whose.
PLANTED = (
    "theme=x {name}={value}",
    "theme=x\t{name}={value}",
    "\u2000{name}={value}",
    "{name}={value}; {name}=other",
    "{name}=other; {name}={value}",
    "theme={name}={value}",
)


async def answer_to_handshake(api: Api, headers: dict[str, str]) -> str:
    """The first packet in answer to a handshake by cookie, sent as it is: a client would read cookies."""
    url = f"{api.url}/socket.io/?EIO=4&transport=websocket"
    async with api.http.ws_connect(url, headers=headers) as socket:
        assert (await socket.receive_str()).startswith("0{")
        await socket.send_str("40{}")
        return await socket.receive_str()


async def test_asvs_3_3_1_and_3_3_3_no_cookie_is_believed_that_a_sibling_host_can_set(api: Api) -> None:
    await api.login(await api.register(), delivery="cookies")
    cookies, stranger = dict(api.cookies), Api(api.url, api.http)
    tokens = {name: cookies[name] for name in (ACCESS_COOKIE, REFRESH_COOKIE)}

    def headers(form: str) -> dict[str, str]:
        stranger.cookies.clear()
        sent = "; ".join(form.format(name=name, value=value) for name, value in tokens.items())
        return {"Cookie": sent, "Origin": ORIGIN, "X-CSRF-Token": cookies["csrf"]}

    for planted in PLANTED:
        assert (await stranger.call("GET", "/me", headers=headers(planted))).code == "missing_token", planted
        assert (await stranger.call("POST", "/refresh", headers=headers(planted))).code == "missing_token", planted
        assert '"missing_token"' in await answer_to_handshake(api, headers(planted)), planted
    # As they were set they are good: nothing of that has ended the session.
    assert (await stranger.call("GET", "/me", headers=headers("theme=x; {name}={value}"))).status == 200
    assert (await answer_to_handshake(api, headers("{name}={value}"))).startswith('40{"sid"')


async def test_asvs_3_3_1_and_3_3_3_nor_is_a_visit_s(start_node: Any, http: Any) -> None:
    api = Api(start_node(**GITHUB).url, http)
    for planted in PLANTED:
        begun = await api.call("GET", "/oauth/github/start")
        [visit] = SimpleCookie(begun.headers["Set-Cookie"]).values()
        state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
        back = f"/oauth/github/callback?{urlencode({'state': state, 'error': 'access_denied'})}"
        for form, code in ((planted, "invalid_token"), ("theme=x; {name}={value}", "access_denied")):
            api.cookies.clear()
            sent = {"Cookie": form.format(name=visit.key, value=visit.value)}
            assert (await api.call("GET", back, headers=sent)).headers["Location"] == f"/?login={code}", planted


async def test_asvs_3_4_2_only_listed_origins_read_our_answers(api: Api) -> None:
    email = await api.register()
    login = await api.login(email)
    for origin in ("https://evil.example", "null", "http://127.0.0.1:8000.evil.example", ORIGIN + "/"):
        answer = await api.call("GET", "/me", token=login.access_token, headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
    answer = await api.call("GET", "/me", token=login.access_token, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in answer.headers["Vary"]


CLAIMED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
}


async def shown_address(api: Api, headers: dict[str, str]) -> str:
    """The address that a login with these headers is listed under."""
    body = {"email": await api.register(), "password": PASSWORD}
    return str((await api.call("POST", "/login", body, headers=headers)).data["session"]["ip"])


async def test_asvs_4_1_3_whoever_calls_directly_chooses_no_address(start_node: Any, http: Any) -> None:
    assert await shown_address(Api(start_node(VIGIL_TRUSTED_PROXIES="").url, http), CLAIMED) == "127.0.0.1"


async def test_asvs_4_1_3_nor_does_whoever_calls_through_a_trusted_proxy_say_who_or_where_they_are(
    start_node: Any, http: Any
) -> None:
    """What is made of the addresses of a header: tests/unit/test_client_ip.py."""
    api = Api(start_node(VIGIL_TRUSTED_PROXIES="127.0.0.0/8").url, http)
    others = {"X-Real-IP": "198.51.100.66", "Forwarded": "for=198.51.100.66", "True-Client-IP": "198.51.100.66"}
    # What the caller sent is on the left of what the proxy adds.
    claimed = {"X-Forwarded-For": "198.51.100.66, 203.0.113.9"}
    assert await shown_address(api, claimed | others) == "203.0.113.9"
    # Of what nobody but a proxy may say, that alone is believed which ours says.
    assert await shown_address(api, others) == "127.0.0.1"
    victim, login = await api.login(await api.register()), await api.login(await api.register())
    for header in ("X-User-Id", "X-Forwarded-User", "X-Remote-User", "X-Roles", "X-Original-URL"):
        claimed = {header: victim.data["user"]["userId"]}
        assert (await api.call("GET", "/me", headers=claimed)).code == "missing_token"
        me = await api.call("GET", "/me", token=login.access_token, headers=claimed)
        assert me.data["user"]["userId"] == login.data["user"]["userId"]
        asked = await api.call("GET", "/admin/users", token=login.access_token, headers={header: "admin"})
        assert asked.status == 403


async def test_asvs_4_4_1_a_service_on_https_takes_its_sockets_from_https_pages_alone(
    start_node: Any, http: Any, connect: Any
) -> None:
    """TLS ends at the proxy in front; what is ours is to send nobody to `ws:` and to listen to no such page."""
    # A public node shows nobody the mail that confirms an address.
    node = start_node(VIGIL_PUBLIC_URL="https://chat.example.org", VIGIL_REQUIRE_VERIFIED_EMAIL="off")
    async with http.get(f"{node.url}/") as page:
        assert "wss://chat.example.org" in page.headers["Content-Security-Policy"]
        assert "ws://" not in page.headers["Content-Security-Policy"]
        assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
    api = Api(node.url, http)
    token = (await api.login(await api.register(verify=False))).access_token
    with pytest.raises(Refused) as refused:
        await connect(node, token, headers={"Origin": "http://chat.example.org"})
    assert refused.value.data["code"] == "origin_not_allowed"
    await connect(node, token, headers={"Origin": "https://chat.example.org"})


async def test_asvs_4_4_2_a_handshake_from_another_origin_is_refused(api: Api, connect: Any) -> None:
    login = await api.login(await api.register())
    for origin in ("https://evil.example", "null", "http://127.0.0.1:8001", "http://127.0.0.1"):
        with pytest.raises(Refused) as refused:
            await connect(api.url, login.access_token, headers={"Origin": origin})
        assert refused.value.data["code"] == "origin_not_allowed"


async def test_asvs_4_4_3_a_socket_lives_by_its_sessions_tokens(api: Api, connect: Any) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    live = await connect(api.url, login.access_token)
    assert live.ready["sessionId"] == login.session_id
    # No other session's token keeps it alive, not even of the same user.
    assert (await live.ask("reauthenticate", {"token": other.access_token}))["code"] == "forbidden"
    await other.call("DELETE", f"/sessions/{login.session_id}")
    await live.until_gone()


async def test_asvs_4_4_4_a_socket_begins_with_what_http_handed_out(api: Api, connect: Any) -> None:
    for nothing in (None, "", "guess"):
        with pytest.raises(Refused) as refused:
            await connect(api.url, nothing)
        assert refused.value.data["code"] in {"missing_token", "invalid_token"}
    login = await api.login(await api.register())
    assert (await connect(api.url, login.access_token)).ready["userId"] == login.data["user"]["userId"]
