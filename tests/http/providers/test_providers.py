"""Login by OpenID providers over HTTP: a real node, real providers, and a browser that is led astray."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import PASSWORD, Answer, Api
from support.nodes import Installation, Node, ServiceUrls
from support.provider_person import COOKIES, Person
from support.providers import OpenIdServer, openid_server, query_of, with_query

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, VISIT_COOKIE


async def test_the_providers_are_told_without_a_secret(api: Api) -> None:
    answer = await api.call("GET", "/oauth/providers")
    assert answer.data == {
        "providers": [
            {"id": "down", "name": "Down"},
            {"id": "one", "name": "Provider One"},
            {"id": "two", "name": "Two"},
        ],
        "phoneLogin": True,
    }


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
async def test_the_first_login_makes_an_account_and_the_next_finds_it(person: Person, delivery: str) -> None:
    assert await person.log_in(f"?delivery={delivery}") == "/"
    assert set(person.browser.cookies) == COOKIES[delivery]
    token = None
    if delivery == "cookie":
        refreshed = await person.browser.call("POST", "/refresh")
        token = {"Authorization": f"Bearer {refreshed.data['accessToken']}"}
    user = (await person.browser.call("GET", "/me", headers=token)).data["user"]
    assert (user["email"], user["emailVerified"], user["name"]) == (person.email, True, "Ada")
    sessions = (await person.browser.call("GET", "/sessions", headers=token)).data["sessions"]
    assert sessions[0]["amr"] == ["provider"]
    person.browser.cookies.clear()
    assert await person.log_in() == "/"
    assert (await person.me()).data["user"]["userId"] == user["userId"]


async def test_asvs_3_3_2_the_visit_s_cookie_is_lax_short_lived_and_for_this_host_alone(person: Person) -> None:
    await person.leave()
    cookie = person.browser.attributes[VISIT_COOKIE]
    assert VISIT_COOKIE.startswith("__Host-")
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", "600")
    assert len(cookie.value) == 43


async def test_the_browser_is_sent_with_pkce_state_and_nonce(person: Person) -> None:
    url = await person.leave()
    asked = query_of(url)
    assert url.startswith(f"{person.provider.issuer}/oauth2/authorize?")
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/api/auth/oauth/one/callback"
    secret = person.browser.cookies[VISIT_COOKIE]
    assert len({asked["state"], asked["nonce"], asked["code_challenge"], secret}) == 4
    assert secret not in url
    assert query_of(await person.leave())["state"] != asked["state"]


async def test_asvs_10_2_3_it_asks_for_no_more_than_it_needs(person: Person) -> None:
    assert set(query_of(await person.leave())["scope"].split()) == {"openid", "email", "profile"}


@pytest.mark.parametrize("headers", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}])
async def test_a_browser_that_only_prefetches_begins_nothing(person: Person, headers: dict[str, str]) -> None:
    await person.leave()
    before = dict(person.browser.cookies)
    answer = await person.browser.call("GET", "/oauth/one/start", headers=headers)
    assert answer.status == 503
    assert person.browser.cookies == before


async def test_it_ends_on_the_page_that_was_asked_for(person: Person) -> None:
    assert await person.log_in("?returnTo=%2Froom%3Fid%3D7%23end") == "/room?id=7#end"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil.example", "",
        "/%09/evil.example", "/%0a/evil.example", "javascript:alert(1)", "/%5cevil.example", "/a%0d%0aX-Y:z",
        "/api/auth/oauth/one/start", "/API/auth/verify-email", "///evil.example", "/" + "x" * 600, "/%C3%A9",
    ],
)  # fmt: skip
async def test_it_ends_on_no_page_elsewhere(person: Person, target: str) -> None:
    answer = await person.browser.call("GET", f"/oauth/one/start?returnTo={target}")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert VISIT_COOKIE not in person.browser.cookies


@pytest.mark.parametrize("delivery", ["body", "", "both"])
async def test_tokens_travel_in_cookies_only(person: Person, delivery: str) -> None:
    answer = await person.browser.call("GET", f"/oauth/one/start?delivery={delivery}")
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("end", ["start", "callback"])
async def test_a_provider_that_is_not_set_up_is_not_found(browser: Any, end: str) -> None:
    for name in ("google", "ONE", "%2e%2e", "x" * 300):
        answer = await browser.call("GET", f"/oauth/{name}/{end}")
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
async def test_asvs_7_2_4_it_ends_the_session_whose_cookies_it_replaces(
    person: Person, api: Api, delivery: str
) -> None:
    before = await api.login(await api.register())
    person.browser.cookies[REFRESH_COOKIE] = before.refresh_token
    assert await person.log_in(f"?delivery={delivery}") == "/"
    assert (await before.call("GET", "/me")).code == "session_revoked"


class TestForgery:
    """What comes back to us by another way than it left."""

    async def test_asvs_10_2_1_another_browser_cannot_finish_a_visit(
        self, person: Person, api: Api, send: Any
    ) -> None:
        """Login CSRF: somebody's own answer in a victim's browser would log the victim in as them."""
        back = await person.agree(await person.leave())
        stranger = person.browser.twin()
        stranger.cookies.clear()
        answer = await person.come_back(back, stranger)
        assert answer.headers["Location"] == "/?login=invalid_token"
        assert stranger.cookies == {}
        # Nor one that is on a visit of its own.
        await stranger.call("GET", "/oauth/one/start")
        answer = await person.come_back(back, stranger)
        assert answer.headers["Location"] == "/?login=invalid_token"
        assert set(stranger.cookies) == {VISIT_COOKIE}
        # It spoilt nothing for the one whose visit it is.
        assert (await person.come_back(back)).headers["Location"] == "/"

    @pytest.mark.parametrize("state", ["", "x", "A" * 43, "é" * 20, "A" * 5000])
    async def test_asvs_10_2_1_a_forged_state_is_refused_and_ends_no_visit(
        self, person: Person, state: str
    ) -> None:
        back = await person.agree(await person.leave())
        for forged in (with_query(back, state=state), with_query(back, state=None)):
            assert (await person.come_back(forged)).headers["Location"] == "/?login=invalid_token"
        assert VISIT_COOKIE in person.browser.cookies
        assert (await person.come_back(back)).headers["Location"] == "/"

    async def test_asvs_10_1_2_an_answer_is_taken_once(self, person: Person) -> None:
        """State replay, also from the browser whose visit it was."""
        back = await person.agree(await person.leave())
        twin = person.browser.twin()
        assert (await person.come_back(back)).headers["Location"] == "/"
        assert VISIT_COOKIE not in person.browser.cookies
        assert (await person.come_back(back, twin)).headers["Location"] == "/?login=invalid_token"

    async def test_of_an_answer_that_comes_ten_times_at_once_one_begins_a_session(self, person: Person) -> None:
        back = await person.agree(await person.leave())
        twins = [person.browser.twin() for _ in range(10)]
        answers = await asyncio.gather(*(person.come_back(back, twin) for twin in twins))
        ends = sorted(answer.headers["Location"] for answer in answers)
        assert ends == ["/"] + ["/?login=invalid_token"] * 9
        (winner,) = [twin for twin in twins if ACCESS_COOKIE in twin.cookies]
        assert len((await winner.call("GET", "/sessions")).data["sessions"]) == 1

    async def test_a_code_is_traded_once(self, person: Person) -> None:
        """A code that was used already, brought to a visit of one's own: the provider says no."""
        url = await person.leave()
        back = await person.agree(url)
        assert (await person.come_back(back)).headers["Location"] == "/"
        second = await person.leave()
        forged = with_query(back, state=query_of(second)["state"])
        assert (await person.come_back(forged)).headers["Location"] == "/?login=invalid_token"

    async def test_asvs_10_5_1_another_visit_s_code_brings_the_wrong_nonce(
        self, person: Person, http: Any
    ) -> None:
        """Code injection: a stolen code that was not used, in a visit of the thief's own."""
        stolen = await person.agree(await person.leave())
        thief = Person(person.browser.twin(), http, person.provider)
        thief.browser.cookies.clear()
        own = await thief.leave()
        forged = with_query(stolen, state=query_of(own)["state"])
        assert (await thief.come_back(forged)).headers["Location"] == "/?login=provider_failed"
        assert thief.browser.cookies == {}

    @pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
    async def test_a_parameter_that_comes_twice_is_refused(self, person: Person, name: str) -> None:
        back = await person.agree(await person.leave())
        answer = await person.come_back(f"{back}&{name}=a&{name}=b")
        assert answer.headers["Location"] == "/?login=invalid_token"

    @pytest.mark.parametrize("code", [None, ""])
    async def test_without_a_code_nobody_is_let_in(self, person: Person, code: str | None) -> None:
        back = with_query(await person.agree(await person.leave()), code=code)
        assert (await person.come_back(back)).headers["Location"] == "/?login=provider_failed"
        assert person.browser.cookies == {}

    async def test_a_forged_code_lets_nobody_in(self, person: Person) -> None:
        back = with_query(await person.agree(await person.leave()), code="forged\r\n\0 'code'")
        assert (await person.come_back(back)).headers["Location"] == "/?login=invalid_token"
        assert person.browser.cookies == {}


class TestMixUp:
    """RFC 9207, RFC 9700 section 4.4: one provider's answer passed off as another's."""

    async def test_asvs_10_2_2_an_answer_at_another_provider_s_address_ends_the_visit(
        self, person: Person
    ) -> None:
        back = await person.agree(await person.leave())
        elsewhere = back.replace("/oauth/one/", "/oauth/two/")
        assert (await person.come_back(elsewhere)).headers["Location"] == "/?login=invalid_token"
        assert (await person.come_back(back)).headers["Location"] == "/?login=invalid_token"
        assert ACCESS_COOKIE not in person.browser.cookies

    async def test_asvs_10_2_2_an_answer_that_names_another_issuer_is_refused(
        self, person: Person, other_provider: OpenIdServer
    ) -> None:
        back = await person.agree(await person.leave())
        forged = with_query(back, iss=other_provider.issuer)
        assert (await person.come_back(forged)).headers["Location"] == "/?login=provider_failed"
        assert ACCESS_COOKIE not in person.browser.cookies

    async def test_an_answer_that_names_its_own_is_not(self, person: Person) -> None:
        back = await person.agree(await person.leave())
        answer = await person.come_back(with_query(back, iss=person.provider.issuer))
        assert answer.headers["Location"] == "/"

    async def test_asvs_6_8_1_the_same_subject_at_another_provider_is_somebody_else(
        self, person: Person, browser: Any, http: Any, other_provider: OpenIdServer
    ) -> None:
        assert await person.log_in() == "/"
        first = (await person.me()).data["user"]["userId"]
        other = Person(browser.twin(), http, other_provider)
        other.browser.cookies.clear()
        other.subject = person.subject
        await other.is_known(email=f"other-{person.email}")
        answer = await other.come_back(await other.agree(await other.leave(provider_id="two")))
        assert answer.headers["Location"] == "/"
        assert (await other.me()).data["user"]["userId"] != first


class TestAddresses:
    """An address never leads from a provider into an account."""

    async def test_an_account_with_the_address_is_not_joined(self, person: Person, api: Api) -> None:
        await api.register(person.email)
        assert await person.log_in() == "/?login=conflict"
        assert person.browser.cookies == {}

    async def test_asvs_6_8_1_nor_by_another_provider_that_says_the_same_address(
        self, person: Person, browser: Any, http: Any, other_provider: OpenIdServer
    ) -> None:
        assert await person.log_in() == "/"
        other = Person(browser.twin(), http, other_provider)
        other.browser.cookies.clear()
        await other.is_known(email=person.email.upper())
        answer = await other.come_back(await other.agree(await other.leave(provider_id="two")))
        assert answer.headers["Location"] == "/?login=conflict"

    @pytest.mark.parametrize("verified", [False, None, "false", 1, "yes", [True]])
    async def test_an_address_that_is_not_confirmed_waits_for_our_own_mail(
        self, person: Person, api: Api, verified: Any
    ) -> None:
        await person.is_known(email_verified=verified)
        assert await person.log_in() == "/?login=email_not_verified"
        assert await person.log_in() == "/?login=email_not_verified"
        token = await api.mailed_token(person.email)
        assert (await api.call("POST", "/verify-email", {"token": token})).status == 200
        assert await person.log_in() == "/"
        assert (await person.me()).data["user"]["emailVerified"] is True

    async def test_whoever_only_says_an_address_learns_nothing_of_its_account(
        self, person: Person, api: Api
    ) -> None:
        await api.register(person.email)
        await person.is_known(email_verified=False)
        assert await person.log_in() == "/?login=email_not_verified"
        mails = (await api.call("GET", "/dev/outbox.json")).body["messages"]
        told = [mail["subject"] for mail in mails if mail["to"] == person.email]
        assert told[0] == "Vigil: You already have an account"

    async def test_an_unconfirmed_login_is_void_once_the_owner_confirms_in_their_own_way(
        self, person: Person, api: Api
    ) -> None:
        """Pre-hijacking: the account was made by whoever said the address, and is now its owner's."""
        await person.is_known(email_verified=False)
        assert await person.log_in() == "/?login=email_not_verified"
        await asyncio.sleep(0.01)
        await api.call("POST", "/register", {"email": person.email, "password": PASSWORD})
        token = await api.mailed_token(person.email)
        assert (await api.call("POST", "/verify-email", {"token": token})).status == 200
        owner = await api.login(person.email)
        # Even when the provider comes to say that it is theirs.
        for verified in (False, True):
            await person.is_known(email_verified=verified)
            assert await person.log_in() in {"/?login=email_not_verified", "/?login=conflict"}
        assert (await owner.call("GET", "/me/identities")).data == {"identities": []}
        assert len((await owner.call("GET", "/sessions")).data["sessions"]) == 1

    @pytest.mark.parametrize(
        "address",
        [None, "", "no address", 5, ["a@example.org"], "a@localhost", "ä@example.org", "x" * 300 + "@example.org"],
    )
    async def test_without_an_address_there_is_no_account(self, person: Person, address: Any) -> None:
        await person.is_known(email=address)
        assert await person.log_in() == "/?login=email_not_verified"

    async def test_a_changed_address_changes_no_account(self, person: Person) -> None:
        assert await person.log_in() == "/"
        user = (await person.me()).data["user"]
        await person.is_known(email=f"new-{person.email}")
        assert await person.log_in() == "/"
        assert (await person.me()).data["user"] == user
        identities = (await person.browser.call("GET", "/me/identities")).data["identities"]
        assert [each["label"] for each in identities] == [f"new-{person.email}"]

    async def test_first_logins_at_once_make_one_account(self, person: Person, browser: Any, http: Any) -> None:
        people = []
        for _ in range(6):
            one = Person(browser.twin(), http, person.provider)
            one.subject, one.email = person.subject, person.email
            people.append(one)
        ends = await asyncio.gather(*(one.log_in() for one in people))
        assert set(ends) == {"/"}
        users = {(await one.me()).data["user"]["userId"] for one in people}
        assert len(users) == 1


class TestTrail:
    """What is written down of logins by providers."""

    @pytest.fixture
    def events(self, services: ServiceUrls, installed: Installation) -> Iterator[Any]:
        """The events of the test, as they were kept: kind, whose, and what for."""
        with MongoClient[Any](services.mongo) as client:
            kept = client[installed.name]["audit_events"]
            kept.delete_many({})
            yield lambda: [(each["kind"], each["userId"], each["details"]) for each in kept.find().sort("at", 1)]

    async def test_asvs_16_3_1_a_login_is_written_down_with_its_factors(self, person: Person, events: Any) -> None:
        assert await person.log_in() == "/"
        user_id = (await person.me()).data["user"]["userId"]
        assert ("login", user_id, {"amr": "provider", "delivery": "cookies"}) in events()

    async def test_asvs_16_3_1_an_answer_that_is_no_visit_s_is_a_failed_login(
        self, person: Person, events: Any
    ) -> None:
        back = await person.agree(await person.leave())
        await person.come_back(with_query(back, state="forged"))
        await person.come_back(back.replace("/oauth/one/", "/oauth/two/"))
        assert events() == [
            ("login_failed", None, {"reason": "invalid_token", "provider": "one"}),
            ("login_failed", None, {"reason": "invalid_token", "provider": "two"}),
        ]

    @pytest.mark.parametrize(
        ("error", "reason"), [("access_denied", "access_denied"), ("server_error", "provider_failed")]
    )
    async def test_asvs_16_3_1_so_is_a_provider_s_no(
        self, person: Person, events: Any, error: str, reason: str
    ) -> None:
        back = await person.agree(await person.leave())
        await person.come_back(with_query(back, code=None, error=error))
        assert events() == [("login_failed", None, {"reason": reason, "provider": "one"})]

    async def test_asvs_16_3_1_so_is_what_the_provider_cannot_vouch_for(
        self, person: Person, events: Any, http: Any
    ) -> None:
        """Another visit's code: the nonce of its ID token is not this visit's."""
        stolen = await person.agree(await person.leave())
        own = await person.leave()
        await person.come_back(with_query(stolen, state=query_of(own)["state"]))
        assert events() == [("login_failed", None, {"reason": "provider_failed", "provider": "one"})]

    async def test_asvs_16_3_1_a_link_that_fails_is_in_the_trail_of_whose_account_it_was_for(
        self, person: Person, api: Api, events: Any
    ) -> None:
        user = (await person.browser.login(await api.register(), "cookies")).data["user"]
        begun = await person.browser.call("POST", "/oauth/one/link", {})
        back = with_query(await person.agree(begun.data["url"]), code=None, error="access_denied")
        events_before = len(events())
        await person.come_back(back)
        assert events()[events_before:] == [
            ("identity_link_failed", user["userId"], {"reason": "access_denied", "provider": "one"})
        ]

    async def test_whoever_brings_answers_by_the_dozen_fills_no_trail(
        self, installation: Installation, start_node: Any, provider: OpenIdServer, browser: Any
    ) -> None:
        node = start_node(**provider.settings("one"), VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_PROVIDER="3/5 minutes")
        for _ in range(6):
            answer = await browser.call("GET", "/oauth/one/callback?state=x&code=y", url=node.url)
            assert answer.headers["Location"] == "/?login=invalid_token"
        with MongoClient[Any](installation.services.mongo) as client:
            assert client[installation.name]["audit_events"].count_documents({"kind": "login_failed"}) == 3


class TestRefusals:
    """What a person meets who is not let in."""

    async def test_who_turns_back_at_the_provider_is_told_so(self, person: Person, http: Any) -> None:
        url = await person.leave()
        # This provider forgets the state when it refuses (RFC 6749, section 4.1.2.1, wants it back).
        back = with_query(await person.provider.refuse(http, url), state=query_of(url)["state"])
        assert query_of(back)["error"] == "access_denied"
        answer = await person.come_back(back)
        assert answer.headers["Location"] == "/?login=access_denied"

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            ("access_denied", "access_denied"),
            ("server_error", "provider_failed"),
            ("invalid_scope", "provider_failed"),
            ("<script>", "provider_failed"),
            ("x" * 5000, "provider_failed"),
        ],
    )
    async def test_an_error_ends_the_visit(self, person: Person, node: Node, error: str, code: str) -> None:
        back = await person.agree(await person.leave())
        denied = with_query(back, code=None, error=error, error_description="do not show me")
        answer = await person.come_back(denied)
        assert answer.headers["Location"] == f"/?login={code}"
        assert VISIT_COOKIE not in person.browser.cookies
        assert (await person.come_back(back)).headers["Location"] == "/?login=invalid_token"
        assert "do not show me" not in node.text()
        assert "<script>" not in node.text()

    async def test_asvs_16_5_2_a_provider_that_is_down_is_a_refusal_that_says_so(
        self, browser: Any, api: Api
    ) -> None:
        answer = await browser.call("GET", "/oauth/down/start")
        assert (answer.status, answer.headers["Location"]) == (303, "/?login=unavailable")
        login = await api.login(await api.register())
        answer = await login.call("POST", "/oauth/down/link", {})
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "Retry-After" in answer.headers

    async def test_asvs_16_5_2_a_provider_that_dies_in_between_keeps_nobody_in_or_out(
        self, services: ServiceUrls, browser: Any, http: Any, start_node: Any
    ) -> None:
        with openid_server() as mortal:
            node = start_node(**mortal.settings("one"))
            browser.send = sender(http, node)
            person = Person(browser, http, mortal)
            await person.is_known()
            back = await person.agree(await person.leave())
            mortal.stop()
            assert (await person.come_back(back)).headers["Location"] == "/?login=unavailable"
            assert (await browser.call("GET", "/oauth/providers")).status == 200
            mortal.start()
            await person.is_known()
            assert (await person.come_back(back)).headers["Location"] == "/?login=invalid_token"

    async def test_a_locked_account_stays_out(
        self, person: Person, services: ServiceUrls, installed: Installation
    ) -> None:
        assert await person.log_in() == "/"
        user_id = (await person.me()).data["user"]["userId"]
        with MongoClient[Any](services.mongo, tz_aware=True) as client:
            users = client[installed.name]["users"]
            users.update_one({"_id": user_id}, [{"$set": {"lockedAt": "$$NOW"}}])
        person.browser.cookies.clear()
        assert await person.log_in() == "/?login=account_locked"
        assert person.browser.cookies == {}

    async def test_visits_are_limited_by_address(
        self, start_node: Any, provider: OpenIdServer, browser: Any
    ) -> None:
        node = start_node(**provider.settings("one"), VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_PROVIDER="2/5 minutes")
        ends = [
            (await browser.call("GET", "/oauth/one/start", url=node.url)).headers["Location"] for _ in range(3)
        ]
        assert [end == "/?login=rate_limited" for end in ends] == [False, False, True]


def sender(http: Any, node: Node) -> Any:
    """Sends to another node than the module's."""

    async def send(method: str, path: str, data: Any, headers: Any, *, url: str = "") -> Answer:
        async with http.request(
            method, (url or node.url) + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, await (answer.json() if is_json else answer.text()), answer.headers)

    return send
