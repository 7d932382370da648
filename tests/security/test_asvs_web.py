"""OWASP ASVS 5.0, V3 Web Frontend Security and V4 API and Web Service: cookies, origins, proxies, WebSocket."""

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from support.clients import ORIGIN, PASSWORD, Api, Refused

from auth.http.cookies import DEVICE_COOKIE

DELIVERIES = ("cookie", "cookies")
# The contract's readable token: no secret by itself, worth something beside an HttpOnly cookie alone.
READABLE = "csrf"
# Nothing is asked of GitHub before somebody comes back from there.
GITHUB = {"VIGIL_GITHUB_CLIENT_ID": "vigil", "VIGIL_GITHUB_CLIENT_SECRET": "secret"}


async def cookies_of(api: Api, delivery: str) -> dict[str, Any]:
    """The cookies that a login sets."""
    email = await api.register()
    body = {"email": email, "password": PASSWORD, "delivery": delivery}
    answer = await api.call("POST", "/login", body, headers={"Origin": ORIGIN})
    jar: SimpleCookie = SimpleCookie()
    for line in answer.headers.getall("Set-Cookie"):
        jar.load(line)
    assert len(jar) == {"cookie": 3, "cookies": 4}[delivery]
    return dict(jar)


async def visit_cookie(api: Api) -> Any:
    """The cookie of a visit to a provider, begun and not gone on with."""
    answer = await api.call("GET", "/oauth/github/start")
    assert answer.status == 303
    [line] = answer.headers.getall("Set-Cookie")
    [cookie] = SimpleCookie(line).values()
    return cookie


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_asvs_3_3_1_every_cookie_is_secure_and_bound_to_this_host_but_the_readable_one(
    api: Api, delivery: str
) -> None:
    cookies = await cookies_of(api, delivery)
    assert all(cookie["secure"] is True for cookie in cookies.values())
    assert [name for name in cookies if not name.startswith("__Host-")] == [READABLE]


async def test_asvs_3_3_1_and_so_is_that_of_a_visit_to_a_provider(start_node: Any, http: Any) -> None:
    visit = await visit_cookie(Api(start_node(**GITHUB).url, http))
    assert visit.key.startswith("__Host-")
    assert (visit["secure"], visit["httponly"], visit["path"], visit["domain"]) == (True, True, "/", "")


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_asvs_3_3_2_no_other_site_sends_our_cookies(api: Api, delivery: str) -> None:
    for name, cookie in (await cookies_of(api, delivery)).items():
        assert cookie["samesite"] == ("Strict" if name != DEVICE_COOKIE else "Lax")


async def test_asvs_3_3_2_but_that_of_a_visit_which_comes_back_from_the_provider(
    start_node: Any, http: Any
) -> None:
    assert (await visit_cookie(Api(start_node(**GITHUB).url, http)))["samesite"] == "Lax"


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_asvs_3_3_3_what_carries_a_token_belongs_to_one_host(api: Api, delivery: str) -> None:
    for name, cookie in (await cookies_of(api, delivery)).items():
        assert name.startswith("__Host-") or name == READABLE
        assert (cookie["path"], cookie["domain"]) == ("/", "")


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


@pytest.mark.parametrize("planted", PLANTED)
async def test_asvs_3_3_1_and_3_3_3_no_cookie_is_believed_that_a_sibling_host_can_set(
    api: Api, planted: str
) -> None:
    cookies = {name: cookie.value for name, cookie in (await cookies_of(api, "cookies")).items()}
    tokens = {name: value for name, value in cookies.items() if name != READABLE}
    stranger = Api(api.url, api.http)

    def headers(form: str) -> dict[str, str]:
        stranger.cookies.clear()
        sent = "; ".join(form.format(name=name, value=value) for name, value in tokens.items())
        return {"Cookie": sent, "Origin": ORIGIN, "X-CSRF-Token": cookies[READABLE]}

    assert (await stranger.call("GET", "/me", headers=headers(planted))).code == "missing_token"
    assert (await stranger.call("POST", "/refresh", headers=headers(planted))).code == "missing_token"
    assert '"missing_token"' in await answer_to_handshake(api, headers(planted))
    # As they were set they are good: nothing of that has ended the session.
    assert (await stranger.call("GET", "/me", headers=headers("theme=x; {name}={value}"))).status == 200
    assert (await answer_to_handshake(api, headers("{name}={value}"))).startswith('40{"sid"')


@pytest.mark.parametrize("planted", PLANTED)
async def test_asvs_3_3_1_and_3_3_3_nor_is_a_visit_s(start_node: Any, http: Any, planted: str) -> None:
    api = Api(start_node(**GITHUB).url, http)
    begun = await api.call("GET", "/oauth/github/start")
    [visit] = SimpleCookie(begun.headers["Set-Cookie"]).values()
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
    back = f"/oauth/github/callback?{urlencode({'state': state, 'error': 'access_denied'})}"
    for form, code in ((planted, "invalid_token"), ("theme=x; {name}={value}", "access_denied")):
        api.cookies.clear()
        sent = {"Cookie": form.format(name=visit.key, value=visit.value)}
        assert (await api.call("GET", back, headers=sent)).headers["Location"] == f"/?login={code}"


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_asvs_3_3_4_no_script_reads_a_token(api: Api, delivery: str) -> None:
    cookies = await cookies_of(api, delivery)
    for name, cookie in cookies.items():
        assert bool(cookie["httponly"]) == (name != READABLE)
    body = {"email": await api.register(), "password": PASSWORD, "delivery": delivery}
    data = (await api.call("POST", "/login", body, headers={"Origin": ORIGIN})).data
    assert "refreshToken" not in data
    assert ("accessToken" in data) == (delivery == "cookie")


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


@pytest.mark.parametrize(
    "claimed",
    [
        # What the caller sent is on the left of what the proxy adds.
        {"X-Forwarded-For": "198.51.100.66, 203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"},
        {"X-Forwarded-For": "nonsense, 203.0.113.9"},
        {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "198.51.100.66"},
        {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=198.51.100.66", "True-Client-IP": "198.51.100.66"},
    ],
)
async def test_asvs_4_1_3_nor_does_whoever_calls_through_a_trusted_proxy(
    start_node: Any, http: Any, claimed: dict[str, str]
) -> None:
    api = Api(start_node(VIGIL_TRUSTED_PROXIES="127.0.0.0/8").url, http)
    assert await shown_address(api, claimed) == "203.0.113.9"
    # Of what nobody but a proxy may say, that alone is believed which ours says.
    assert await shown_address(api, {"X-Real-IP": "198.51.100.66"}) == "127.0.0.1"


@pytest.mark.parametrize("header", ["X-User-Id", "X-Forwarded-User", "X-Remote-User", "X-Roles", "X-Original-URL"])
async def test_asvs_4_1_3_and_no_header_says_who_somebody_is(start_node: Any, http: Any, header: str) -> None:
    api = Api(start_node(VIGIL_TRUSTED_PROXIES="127.0.0.0/8").url, http)
    victim, login = await api.login(await api.register()), await api.login(await api.register())
    claimed = {header: victim.data["user"]["userId"]}
    assert (await api.call("GET", "/me", headers=claimed)).code == "missing_token"
    me = await api.call("GET", "/me", token=login.access_token, headers=claimed)
    assert me.data["user"]["userId"] == login.data["user"]["userId"]
    assert (
        await api.call("GET", "/admin/users", token=login.access_token, headers={header: "admin"})
    ).status == 403


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


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8001", "http://127.0.0.1"])
async def test_asvs_4_4_2_a_handshake_from_another_origin_is_refused(api: Api, connect: Any, origin: str) -> None:
    login = await api.login(await api.register())
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
