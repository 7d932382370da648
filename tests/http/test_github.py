"""Login by GitHub over HTTP: a real node, and a server that answers as GitHub does."""

import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from pymongo import MongoClient
from support.fake_github import Account, FakeGitHub, address
from support.nodes import Installation, Node, ServiceUrls, drop
from support.providers import path_of, query_of, with_query

from auth.http.cookies import REGISTRATION_COOKIE
from auth.platform.http_client import MAX_BYTES


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """The address of GitHub for the module's node."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


@pytest.fixture
async def github(listener: socket.socket) -> AsyncIterator[FakeGitHub]:
    """A GitHub for one test, always at the same address."""
    fake = fake_at(listener)
    runner = web.AppRunner(fake.app)
    await runner.setup()
    await web.SockSite(runner, listener.dup()).start()
    name = f"ada-{secrets.token_hex(4)}"
    fake.signed_in = Account(secrets.randbelow(10**9) + 1, name, emails=[address(f"{name}@example.org")])
    yield fake
    await runner.cleanup()


def fake_at(listener: socket.socket) -> FakeGitHub:
    fake = FakeGitHub()
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return fake


@pytest.fixture(scope="module")
def with_github(services: ServiceUrls) -> Iterator[Installation]:
    own = Installation(services)
    yield own
    drop(services, own.name)


@pytest.fixture(scope="module")
def node(with_github: Installation, listener: socket.socket) -> Iterator[Node]:
    """A node with GitHub. Shared: each test has another person at GitHub."""
    running = with_github.start(**fake_at(listener).settings())
    yield running
    assert running.stop() == 0


class Visitor:
    """A browser that walks to GitHub and back."""

    def __init__(self, browser: Any, http: Any, node: Node) -> None:
        self.browser, self.http, self.node = browser, http, node

    async def leave(self) -> str:
        answer = await self.browser.call("GET", "/oauth/github/start")
        return str(answer.headers["Location"])

    async def agree(self, url: str) -> str:
        async with self.http.get(url, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            return str(answer.headers["Location"])

    async def come_back(self, url: str) -> str:
        return str((await self.browser.call("GET", path_of(url))).headers["Location"])

    async def log_in(self) -> str:
        return await self.come_back(await self.agree(await self.leave()))

    async def user(self) -> Any:
        return (await self.browser.call("GET", "/me")).data["user"]


@pytest.fixture
def visitor(browser: Any, http: Any, node: Node, github: FakeGitHub) -> Visitor:
    """A visitor of the node, while GitHub is up."""
    return Visitor(browser, http, node)


async def test_it_lets_in_with_the_primary_address(visitor: Visitor, github: FakeGitHub) -> None:
    assert github.signed_in is not None
    name = github.signed_in.login
    github.signed_in.emails = [
        address(f"second-{name}@example.org", primary=False),
        address(f"{name}@example.org"),
    ]
    assert await visitor.log_in() == "/"
    user = await visitor.user()
    assert (user["email"], user["emailVerified"], user["name"]) == (f"{name}@example.org", True, "Ada")
    (identity,) = (await visitor.browser.call("GET", "/me/identities")).data["identities"]
    assert (identity["provider"], identity["label"]) == ("github", f"{name}@example.org")


async def test_asvs_10_2_3_it_asks_for_the_addresses_and_nothing_else(visitor: Visitor) -> None:
    asked = query_of(await visitor.leave())
    assert asked["scope"] == "user:email"
    assert asked["code_challenge_method"] == "S256"
    assert "nonce" not in asked


async def test_asvs_10_5_2_people_are_known_by_their_number_and_not_by_their_name(
    visitor: Visitor, github: FakeGitHub
) -> None:
    """A login name can be given up, and then be somebody else's."""
    assert github.signed_in is not None
    first = github.signed_in
    assert await visitor.log_in() == "/"
    user = await visitor.user()
    first.login, name = "renamed", first.login
    assert await visitor.log_in() == "/"
    assert await visitor.user() == user
    visitor.browser.cookies.clear()
    github.signed_in = Account(first.user_id + 1, name, emails=[address(f"new-{name}@example.org")])
    assert await visitor.log_in() == "/"
    assert (await visitor.user())["userId"] != user["userId"]


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [address("a@example.org", verified=False)],
        [address("a@example.org", primary=False)],
        [address("", verified=True)],
        ["a@example.org"],
        [{"email": "a@example.org", "primary": 1, "verified": "true"}],
        [{"email": None, "primary": True, "verified": True}],
        [{"email": ["a@example.org"], "primary": True, "verified": True}],
    ],
)
async def test_without_a_confirmed_primary_address_there_is_no_account(
    visitor: Visitor, github: FakeGitHub, emails: list[Any]
) -> None:
    assert github.signed_in is not None
    github.signed_in.emails = emails
    assert await visitor.log_in() == "/?login=email_not_verified"
    # As where a link is mailed: the cookie tells nobody whether one was.
    assert set(visitor.browser.cookies) == {REGISTRATION_COOKIE}


async def test_who_turns_back_is_told_so(visitor: Visitor, github: FakeGitHub) -> None:
    github.signed_in = None
    assert await visitor.log_in() == "/?login=access_denied"


async def test_asvs_10_2_1_a_code_of_another_visit_is_none_of_this_one(
    visitor: Visitor, browser: Any, http: Any, node: Node
) -> None:
    """There is no nonce at GitHub: PKCE binds the code to the visit."""
    stolen = await visitor.agree(await visitor.leave())
    thief = Visitor(browser.twin(), http, node)
    own = await thief.leave()
    forged = with_query(stolen, state=query_of(own)["state"])
    assert await thief.come_back(forged) == "/?login=invalid_token"
    assert thief.browser.cookies == {}


async def test_a_code_is_taken_once(visitor: Visitor) -> None:
    back = await visitor.agree(await visitor.leave())
    assert await visitor.come_back(back) == "/"
    again = with_query(back, state=query_of(await visitor.leave())["state"])
    assert await visitor.come_back(again) == "/?login=invalid_token"


@pytest.mark.parametrize("issuer", ["https://evil.example", "https://github.com.evil.example", ""])
async def test_asvs_10_2_2_an_answer_that_names_another_issuer_is_refused(visitor: Visitor, issuer: str) -> None:
    back = await visitor.agree(await visitor.leave())
    assert await visitor.come_back(with_query(back, iss=issuer)) == "/?login=provider_failed"


async def test_an_answer_that_names_github_is_not(visitor: Visitor, github: FakeGitHub) -> None:
    back = await visitor.agree(await visitor.leave())
    assert await visitor.come_back(with_query(back, iss=f"{github.url}/login/oauth")) == "/"


NONSENSE = [
    (500, "{}", "unavailable"),
    (502, "<html>", "unavailable"),
    (429, "{}", "unavailable"),
    (200, "<html>", "provider_failed"),
    (200, "[" * 100_000, "provider_failed"),
    (302, "", "provider_failed"),
    (200, '{"error": {"$ne": 1}}', "provider_failed"),
    (200, '{"error": "incorrect_client_credentials"}', "provider_failed"),
    (200, " " * MAX_BYTES + "{}", "unavailable"),
]
NO_OBJECT = [
    (404, '{"message": "Not Found"}', "provider_failed"),
    (200, "null", "provider_failed"),
    (200, '{"access_token": "a b\\r\\nX: y", "id": "1"}', "provider_failed"),
    (200, '{"access_token": 7, "id": true}', "provider_failed"),
    (200, '{"access_token": "", "id": -1}', "provider_failed"),
    (200, '{"id": 1e99}', "provider_failed"),
]


@pytest.mark.parametrize(
    ("where", "answers"), [("token", NONSENSE + NO_OBJECT), ("user", NONSENSE + NO_OBJECT), ("emails", NONSENSE)]
)
async def test_an_answer_that_makes_no_sense_lets_nobody_in(
    visitor: Visitor, github: FakeGitHub, node: Node, where: str, answers: list[tuple[int, str, str]]
) -> None:
    for status, body, code in answers:
        headers = {"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {}
        github.broken[where] = (status, body, headers)
        assert await visitor.log_in() == f"/?login={code}", (status, body[:40])
        assert visitor.browser.cookies == {}
    assert '"event":"request_failed"' not in node.text()
    assert "elsewhere" not in node.text()
    github.broken.clear()
    assert await visitor.log_in() == "/"


@pytest.mark.parametrize("status", [403, 404])
async def test_a_github_app_that_may_not_see_addresses_lets_in_whom_it_knows(
    visitor: Visitor, github: FakeGitHub, node: Node, status: int
) -> None:
    assert await visitor.log_in() == "/"
    known = await visitor.user()
    before = len(node.log)
    github.broken["emails"] = (status, '{"message": "Resource not accessible by integration"}', {})
    assert await visitor.log_in() == "/"
    assert await visitor.user() == known
    assert await node.logged("provider_shows_no_address", str(status), after=before)
    # Who is new has no address by which an account could be made.
    github.signed_in = Account(secrets.randbelow(10**9) + 10**9, "grace")
    assert await visitor.log_in() == "/?login=email_not_verified"


async def test_an_authorization_code_of_any_length_that_providers_send_is_traded(
    visitor: Visitor, github: FakeGitHub
) -> None:
    back = await visitor.agree(await visitor.leave())
    code = query_of(back)["code"]
    long = secrets.token_hex(3000)
    github.codes[long] = github.codes.pop(code)
    assert await visitor.come_back(with_query(back, code=long)) == "/"


async def test_a_visit_ends_on_the_page_of_an_application_that_has_one_of_its_own(
    browser: Any, http: Any, github: FakeGitHub, start_node: Callable[..., Node]
) -> None:
    page = "http://localhost:5173/account"
    visitor = Visitor(browser, http, start_node(VIGIL_APP_URL=page, **github.settings()))

    async def end(query: str = "", **changes: str) -> str:
        left = await browser.call("GET", f"/oauth/github/start{query}", url=visitor.node.url)
        back = with_query(await visitor.agree(str(left.headers["Location"])), **changes)
        came = await browser.call("GET", path_of(back), url=visitor.node.url)
        return str(came.headers["Location"])

    assert await end() == page
    assert await end("?returnTo=/rooms%3Fx=1") == "http://localhost:5173/rooms?x=1"
    assert await end(error="server_error") == f"{page}?login=provider_failed"
    async with http.get(f"{visitor.node.url}/") as shown:
        assert "form-action 'self' http://localhost:5173;" in shown.headers["Content-Security-Policy"]


async def test_an_answer_without_a_code_is_refused_with_its_reason_in_the_log(
    visitor: Visitor, node: Node
) -> None:
    before = len(node.log)
    back = await visitor.agree(await visitor.leave())
    assert await visitor.come_back(with_query(back, code="")) == "/?login=provider_failed"
    assert await visitor.come_back(back) == "/?login=invalid_token"
    await node.logged("callback: no cookie of a visit", after=before)
    reasons = [json.loads(line).get("reason") for line in node.log[before:] if '"event":"provider_' in line]
    assert reasons == ["callback: no code", "callback: no cookie of a visit"]


async def test_asvs_10_1_1_github_s_tokens_are_neither_kept_nor_handed_on(
    visitor: Visitor, github: FakeGitHub, services: ServiceUrls, with_github: Installation
) -> None:
    end = await visitor.log_in()
    (token,) = github.tokens
    assert token not in end + str(visitor.browser.cookies)
    with MongoClient[Any](services.mongo) as client:
        database = client[with_github.name]
        kept = [str(document) for name in database.list_collection_names() for document in database[name].find()]
    assert any("identity" in text or "github" in text for text in kept)
    assert not any(token in text or token[4:] in text for text in kept)


async def test_the_client_s_secret_and_the_tokens_are_in_no_log(
    visitor: Visitor, github: FakeGitHub, node: Node
) -> None:
    back = await visitor.agree(await visitor.leave())
    assert await visitor.come_back(back) == "/"
    secret = github.settings()["VIGIL_GITHUB_CLIENT_SECRET"]
    for hidden in (secret, *github.tokens, query_of(back)["code"], query_of(back)["state"]):
        assert hidden not in node.text()
