"""Providers beside what an account has already: its second factor, and the links that its owner makes."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pymongo import MongoClient
from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Api
from support.nodes import Installation, Node, ServiceUrls
from support.provider_person import COOKIES, Person
from support.providers import OpenIdServer

from auth.http.cookies import VISIT_COOKIE


class TestSecondFactor:
    """MFA applies, whatever the provider says of its own (ASVS 5.0, 6.3.4 and 6.8.4)."""

    @pytest.mark.parametrize("delivery", ["cookie", "cookies"])
    async def test_asvs_6_8_4_a_second_factor_is_asked_for_and_its_token_is_in_no_query(
        self, person: Person, node: Node, delivery: str
    ) -> None:
        await person.is_known(amr=["mfa", "hwk"], acr="phrh")
        assert await person.log_in() == "/"
        setup = (await person.browser.call("POST", "/2fa/setup", {})).data
        app = Authenticator(setup["secret"])
        enabled = await person.browser.call("POST", "/2fa/enable", {"code": await app.code()})
        assert enabled.status == 200
        person.browser.cookies.clear()
        end = await person.log_in(f"?delivery={delivery}&returnTo=/room")
        parts = urlsplit(end)
        told = parse_qs(parts.fragment)
        assert (parts.path, parts.query) == ("/", "")
        assert told["methods"][0].split(",")[:2] == ["totp", "recovery_code"]
        assert told["returnTo"] == ["/room"]
        assert told["expiresAt"][0].endswith("Z")
        assert person.browser.cookies == {}
        done = await person.browser.call(
            "POST", "/2fa/verify", {"mfaToken": told["mfa"][0], "code": await app.code()}
        )
        assert done.status == 200
        assert done.data["session"]["amr"] == ["provider", "otp", "mfa"]
        assert set(person.browser.cookies) == COOKIES[delivery]
        assert told["mfa"][0] not in node.text()


class TestLinking:
    """A provider as one more way into an account that is there."""

    @pytest.fixture
    async def owner(self, browser: Any, api: Api, person: Person) -> Person:
        """The person, logged in here by password, under another address than the provider's."""
        email = await api.register(f"own-{person.email}")
        await browser.login(email, "cookies")
        person.email = email
        return person

    async def begin(self, owner: Person, body: Any = None, provider_id: str = "one") -> str:
        answer = await owner.browser.call("POST", f"/oauth/{provider_id}/link", body or {})
        assert answer.status == 200, answer.body
        return str(answer.data["url"])

    async def link(self, owner: Person, body: Any = None) -> str:
        answer = await owner.come_back(await owner.agree(await self.begin(owner, body)))
        return str(answer.headers["Location"])

    async def test_it_is_linked_shown_told_and_lets_in(self, owner: Person, api: Api, browser: Any) -> None:
        session = set(browser.cookies)
        assert await self.link(owner) == "/?linked=one"
        assert set(browser.cookies) == session
        (identity,) = (await browser.call("GET", "/me/identities")).data["identities"]
        assert set(identity) == {"id", "provider", "label", "linkedAt", "lastUsedAt"}
        assert (identity["provider"], identity["label"]) == ("one", f"{owner.subject}@example.org")
        mails = (await api.call("GET", "/dev/outbox.json")).body["messages"]
        (told,) = [mail for mail in mails if mail["to"] == owner.email and "Another way" in mail["subject"]]
        assert "Provider One" in told["text"]
        user = (await owner.me()).data["user"]
        browser.cookies.clear()
        assert await owner.log_in() == "/"
        assert (await owner.me()).data["user"] == user

    async def test_it_ends_on_the_page_that_was_asked_for(self, owner: Person) -> None:
        assert await self.link(owner, {"returnTo": "/settings"}) == "/settings"
        assert await self.link(owner) == "/?linked=one"

    @pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil", "x", "/api/auth/me"])
    async def test_it_ends_on_no_page_elsewhere(self, owner: Person, target: str) -> None:
        answer = await owner.browser.call("POST", "/oauth/one/link", {"returnTo": target})
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_a_foreign_page_begins_no_link(self, owner: Person) -> None:
        """Or the identity of whoever runs that page would open the victim's account."""
        assert (await owner.browser.call("POST", "/oauth/one/link", {}, csrf=None)).code == "csrf_failed"
        owner.browser.origin = "https://evil.example"
        assert (await owner.browser.call("POST", "/oauth/one/link", {})).code == "origin_not_allowed"
        owner.browser.origin = ORIGIN

    async def test_asvs_10_1_2_another_browser_cannot_finish_a_link(self, owner: Person, browser: Any) -> None:
        """A victim who follows a thief's link back would put their own identity on the thief's account."""
        back = await owner.agree(await self.begin(owner))
        victim = browser.twin()
        victim.cookies.clear()
        assert (await owner.come_back(back, victim)).headers["Location"] == "/?login=invalid_token"
        assert (await browser.call("GET", "/me/identities")).data["identities"] == []

    async def test_a_link_ends_with_the_session_that_began_it(self, owner: Person, browser: Any) -> None:
        back = await owner.agree(await self.begin(owner))
        visit = browser.cookies[VISIT_COOKIE]
        assert (await browser.call("POST", "/logout-all", {})).status == 200
        browser.cookies[VISIT_COOKIE] = visit
        assert (await owner.come_back(back)).headers["Location"] == "/?linked=0&code=session_revoked"
        assert await owner.log_in() == "/"  # nobody's identity yet: an account of its own
        assert (await owner.me()).data["user"]["email"] != owner.email

    async def test_a_login_visit_does_not_link_and_a_link_visit_does_not_log_in(
        self, owner: Person, browser: Any
    ) -> None:
        back = await owner.agree(await self.begin(owner))
        visit = browser.cookies[VISIT_COOKIE]
        browser.cookies.clear()
        browser.cookies[VISIT_COOKIE] = visit
        assert (await owner.come_back(back)).headers["Location"] == "/?linked=one"
        assert browser.cookies == {}

    async def test_an_identity_of_another_account_is_a_conflict(
        self, owner: Person, api: Api, browser: Any
    ) -> None:
        assert await self.link(owner) == "/?linked=one"
        browser.cookies.clear()
        await browser.login(await api.register(), "cookies")
        assert await self.link(owner) == "/?linked=0&code=conflict"
        assert (await browser.call("GET", "/me/identities")).data["identities"] == []

    async def owns_what_the_provider_made(self, person: Person, api: Api) -> None:
        """Their first login came with an address nobody had confirmed; then they registered it by password."""
        await person.is_known(email_verified=False)
        assert await person.log_in() == "/?login=email_not_verified"
        await asyncio.sleep(0.01)
        await api.register_by_mail(person.email)
        await person.browser.login(person.email, "cookies")

    @pytest.mark.parametrize("voided", [False, True])
    async def test_an_identity_that_came_with_an_unconfirmed_address_is_linked_again_from_inside(
        self, person: Person, api: Api, browser: Any, voided: bool
    ) -> None:
        """Whether or not a login by the provider was tried, and refused, in between."""
        await self.owns_what_the_provider_made(person, api)
        if voided:
            tab = Person(browser.twin(), person.http, person.provider)
            tab.subject = person.subject
            assert await tab.log_in() == "/?login=email_not_verified"
            assert (await browser.call("GET", "/me/identities")).data["identities"] == []
        user = (await person.me()).data["user"]
        assert await self.link(person) == "/?linked=one"
        for _ in range(2):
            browser.cookies.clear()
            assert await person.log_in() == "/"
            assert (await person.me()).data["user"] == user

    async def test_a_second_identity_of_one_provider_is_a_conflict(self, owner: Person) -> None:
        assert await self.link(owner) == "/?linked=one"
        owner.subject = f"second-{owner.subject}"
        await owner.is_known()
        assert await self.link(owner) == "/?linked=0&code=conflict"

    async def test_linked_from_ten_tabs_at_once_it_is_linked_and_told_once(
        self, owner: Person, api: Api, browser: Any
    ) -> None:
        visits = []
        for _ in range(6):
            back = await owner.agree(await self.begin(owner))
            visits.append((back, browser.twin()))
        answers = await asyncio.gather(*(owner.come_back(back, tab) for back, tab in visits))
        assert {answer.headers["Location"] for answer in answers} == {"/?linked=one"}
        mails = (await api.call("GET", "/dev/outbox.json")).body["messages"]
        assert len([mail for mail in mails if mail["to"] == owner.email and "way" in mail["subject"]]) == 1

    async def test_by_bearer_it_needs_the_browser_that_got_the_cookie(self, api: Api, person: Person) -> None:
        login = await api.login(await api.register())
        answer = await login.call("POST", "/oauth/one/link", {})
        assert answer.status == 200
        person.browser.cookies[VISIT_COOKIE] = api.cookies[VISIT_COOKIE]
        back = await person.agree(answer.data["url"])
        assert (await person.come_back(back)).headers["Location"] == "/?linked=one"
        assert len((await login.call("GET", "/me/identities")).data["identities"]) == 1

    @pytest.mark.parametrize("act", ["link", "unlink"])
    async def test_asvs_7_5_1_it_wants_a_proof_of_the_last_ten_minutes(
        self, owner: Person, browser: Any, services: ServiceUrls, installed: Installation, act: str
    ) -> None:
        assert await self.link(owner) == "/?linked=one"
        (identity,) = (await browser.call("GET", "/me/identities")).data["identities"]
        (session,) = (await browser.call("GET", "/sessions")).data["sessions"]
        with MongoClient[Any](services.mongo, tz_aware=True) as client:
            past = [{"$set": {"loggedInAt": {"$subtract": ["$loggedInAt", 601_000]}}}]
            client[installed.name]["sessions"].update_one({"_id": session["sessionId"]}, past)
        call: tuple[Any, ...] = (
            ("POST", "/oauth/one/link", {}) if act == "link" else ("DELETE", f"/me/identities/{identity['id']}")
        )
        answer = await browser.call(*call)
        assert (answer.status, answer.code) == (401, "step_up_required")
        assert answer.body["methods"] == ["password"]
        proof = {"method": "password", "password": PASSWORD}
        assert (await browser.call("POST", "/step-up", proof)).status == 200
        assert (await browser.call(*call)).status == 200

    async def test_unlinked_it_lets_nobody_in_any_more(self, owner: Person, api: Api, browser: Any) -> None:
        assert await self.link(owner) == "/?linked=one"
        (identity,) = (await browser.call("GET", "/me/identities")).data["identities"]
        assert (await browser.call("DELETE", f"/me/identities/{identity['id']}")).status == 200
        assert (await browser.call("DELETE", f"/me/identities/{identity['id']}")).status == 404
        mails = (await api.call("GET", "/dev/outbox.json")).body["messages"]
        assert [mail["to"] for mail in mails if mail["subject"] == "Vigil: A way to log in was removed"][:1] == [
            owner.email
        ]
        mine = (await owner.me()).data["user"]["userId"]
        browser.cookies.clear()
        assert await owner.log_in() == "/"
        assert (await owner.me()).data["user"]["userId"] != mine

    async def test_the_last_way_in_is_not_taken_off(self, person: Person, browser: Any) -> None:
        assert await person.log_in() == "/"
        (identity,) = (await browser.call("GET", "/me/identities")).data["identities"]
        for _ in range(2):
            answer = await browser.call("DELETE", f"/me/identities/{identity['id']}")
            assert (answer.status, answer.code) == (409, "conflict")
        assert (await browser.call("GET", "/me/identities")).data["identities"] == [identity]
        browser.cookies.clear()
        assert await person.log_in() == "/"

    async def test_of_two_ways_in_that_are_taken_off_at_once_one_stays(
        self, person: Person, browser: Any, http: Any, other_provider: OpenIdServer
    ) -> None:
        assert await person.log_in() == "/"
        url = await self.begin(person, provider_id="two")
        await other_provider.has_user(http, person.subject, email=person.email)
        answer = await person.come_back(await other_provider.consent(http, url, person.subject))
        assert answer.headers["Location"] == "/?linked=two"
        identities = (await browser.call("GET", "/me/identities")).data["identities"]
        assert [each["provider"] for each in identities] == ["one", "two"]
        answers = await asyncio.gather(
            *(browser.twin().call("DELETE", f"/me/identities/{each['id']}") for each in identities)
        )
        left = (await browser.call("GET", "/me/identities")).data["identities"]
        assert len(left) == 2 - [answer.status for answer in answers].count(200)
        assert left

    async def test_somebody_else_s_identity_is_not_found(self, owner: Person, api: Api, browser: Any) -> None:
        assert await self.link(owner) == "/?linked=one"
        (identity,) = (await browser.call("GET", "/me/identities")).data["identities"]
        stranger = await api.login(await api.register())
        for identity_id in (identity["id"], "x", "0" * 32, "$ne", "x" * 3000):
            answer = await stranger.call("DELETE", f"/me/identities/{identity_id}")
            assert (answer.status, answer.code) == (404, "not_found")
        assert len((await browser.call("GET", "/me/identities")).data["identities"]) == 1
