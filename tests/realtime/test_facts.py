"""Facts over two nodes: as pages, as a stream, and by webhooks."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from support.backends import Backend, create_key
from support.clients import PASSWORD, Api
from support.commands import node_packages, run_command
from support.nodes import Installation, Node, mongo_client
from support.receiver import Receiver, receiver
from support.waiting import eventually

Pair = tuple[Node, Node]


@pytest.fixture(scope="module")
def key(shared_installation: Installation, node: Node) -> str:
    """A key that may read facts."""
    return create_key(shared_installation, "events", "sessions", "users")


@pytest.fixture
def backend(key: str, node: Node, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first node."""
    return Backend(node.url, key, http)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A process that receives webhooks."""
    with receiver(tmp_path_factory.mktemp("receiver")) as started:
        yield started


def webhooks(installation: Installation, *arguments: str) -> str:
    """Run a command of the operator; return its output."""
    done = run_command("webhooks", *arguments, environ=installation.environ())
    assert done.status == 0, done
    return done.out.strip()


def verified_by_node(secret: str, sent: list[Any]) -> Any:
    """What the official library of npm reads in requests, each of body and headers."""
    script = """
const { Webhook } = require("standardwebhooks");
const [secret, sent] = JSON.parse(require("fs").readFileSync(0));
const webhook = new Webhook(secret);
console.log(JSON.stringify(sent.map(([body, headers]) => webhook.verify(body, headers))));
"""
    folder = node_packages("typescript-client").parent
    done = subprocess.run(
        ["node", "-e", script],
        cwd=folder,
        input=json.dumps([secret, sent]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


async def newest(backend: Backend) -> str:
    return str((await backend.call("GET", "/events?after=now")).data["next"])


async def facts_of(backend: Backend, user_id: str, after: str, *types: str) -> list[Any]:
    """Wait until there are facts of these types about a user; return all of them."""

    async def found() -> list[Any] | None:
        events, cursor = [], after
        while (page := (await backend.call("GET", f"/events?after={cursor}&limit=500")).data)["events"]:
            assert page["recovered"] is True
            numbers = [int(each["id"]) for each in page["events"]]
            assert numbers == list(range(int(cursor) + 1, int(cursor) + 1 + len(numbers)))
            events += page["events"]
            cursor = page["next"]
        theirs = [each for each in events if each["data"].get("userId") == user_id]
        return theirs if set(types) <= {each["type"] for each in theirs} else None

    return await eventually(found, f"{types} of {user_id}", timeout=60, every=0.2)


@asynccontextmanager
async def stream(
    backend: Backend, after: str | None = None, last: str | None = None
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Open a stream; its events as fields."""
    headers = {"Authorization": f"Bearer {backend.key}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    url = f"{backend.url}/api/server/events" + (f"?after={after}" if after else "")

    async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
        fields: dict[str, str] = {}
        async for line in answer.content:
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            else:
                if fields.get("event") != "alive":
                    yield fields
                fields = {}

    async with backend.http.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield events(answer)


class TestPages:
    """What happened, in one order for every reader."""

    async def test_a_login_over_two_nodes_is_told_with_all_that_follows(
        self, backend: Backend, shared_nodes: Pair, log_in: Any, connect: Any
    ) -> None:
        cursor = await newest(backend)
        login = await log_in(shared_nodes[1], await Api(shared_nodes[0].url, backend.http).register_by_mail())
        live = await connect(shared_nodes[1], login.access_token)
        await facts_of(backend, login.user_id, cursor, "presence.online")
        await live.close()
        await facts_of(backend, login.user_id, cursor, "presence.offline")
        path = f"/users/{login.user_id}"
        await backend.call("PATCH", path, {"metadata": {"plan": "pro"}})
        await backend.call("DELETE", f"{path}/sessions")
        facts = await facts_of(backend.at(shared_nodes[1].url), login.user_id, cursor, "session.ended")
        assert [each["type"] for each in facts] == [
            "user.created",
            "user.verified",
            "session.created",
            "presence.online",
            "presence.offline",
            "user.changed",
            "session.ended",
        ]
        created, changed, ended = facts[2], facts[5], facts[6]
        assert created["data"]["sessionId"] == ended["data"]["sessionId"] == login.session_id
        assert created["data"]["ip"] == "127.0.0.1"
        assert changed["data"] == {"userId": login.user_id, "changed": ["metadata"]}
        assert (ended["data"]["reason"], ended["data"]["by"]["kind"]) == ("admin", "admin")

    async def test_no_fact_contains_an_address_a_name_or_a_secret(
        self, backend: Backend, shared_nodes: Pair, log_in: Any
    ) -> None:
        cursor = await newest(backend)
        login = await log_in(shared_nodes[0])
        said = json.dumps(await facts_of(backend, login.user_id, cursor, "session.created"))
        for secret in (login.data["user"]["email"], PASSWORD, login.access_token, login.refresh_token):
            assert secret not in said

    @pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1" * 17, "٣", "now%00"])
    async def test_what_is_no_cursor_is_refused(self, backend: Backend, cursor: str) -> None:
        answer = await backend.call("GET", f"/events?after={cursor}")
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_a_cursor_of_another_database_is_not_recovered(self, backend: Backend) -> None:
        page = (await backend.call("GET", "/events?after=999999999")).data
        assert page["recovered"] is False
        assert (await backend.call("GET", f"/events?after={page['next']}")).data["recovered"] is True

    async def test_the_scope_is_required(
        self, shared_installation: Installation, node: Node, http: aiohttp.ClientSession
    ) -> None:
        other = Backend(node.url, create_key(shared_installation, "emit"), http)
        assert (await other.call("GET", "/events")).code == "forbidden"


class TestStream:
    """The same facts, as they happen."""

    async def test_it_goes_on_at_another_node_after_the_last_event(
        self, backend: Backend, shared_nodes: Pair, log_in: Any
    ) -> None:
        cursor = await newest(backend)
        login = await log_in(shared_nodes[0])
        async with stream(backend, after=cursor) as events:
            async for event in events:
                fact = json.loads(event["data"])
                assert (event["event"], event["id"]) == ("fact", fact["id"])
                if fact["type"] == "session.created" and fact["data"]["userId"] == login.user_id:
                    break
        await login.call("POST", "/logout")
        other = backend.at(shared_nodes[1].url)
        async with stream(other, after=cursor, last=event["id"]) as events:
            async for next_event in events:
                fact = json.loads(next_event["data"])
                assert int(fact["id"]) > int(event["id"])
                if fact["data"].get("sessionId") == login.session_id:
                    break
        assert (fact["type"], fact["data"]["reason"]) == ("session.ended", "logout")

    async def test_a_cursor_that_is_not_kept_is_told_first(self, backend: Backend) -> None:
        async with stream(backend, after="999999999") as events:
            first = await anext(events)
        assert first["event"] == "gap"

    async def test_it_ends_when_its_key_is_revoked(
        self, shared_installation: Installation, node: Node, http: aiohttp.ClientSession
    ) -> None:
        key = create_key(shared_installation, "events")
        async with stream(Backend(node.url, key, http), after="now") as events:
            environ = shared_installation.environ()
            revoking = asyncio.to_thread(run_command, "server-keys", "revoke", key.split("_")[1], environ=environ)
            assert (await revoking).status == 0
            assert [each async for each in events if each["event"] == "gap"] == []


class TestWebhooks:
    """Facts are posted to endpoints."""

    async def test_the_official_library_verifies_them_under_either_secret(
        self, shared_installation: Installation, shared_nodes: Pair, endpoint: Receiver, log_in: Any
    ) -> None:
        first = webhooks(
            shared_installation, "create", endpoint.url + "/two", "--events", "session.*,user.created"
        )
        webhook_id = next(
            line.split()[0] for line in webhooks(shared_installation, "list").splitlines() if "/two" in line
        )
        second = webhooks(shared_installation, "add-secret", webhook_id)
        assert len({first, second}) == 2
        login = await log_in(shared_nodes[1])
        await login.call("POST", "/logout")
        facts = await endpoint.until(login.user_id, "session.ended", path="/two")
        assert [each["type"] for each in facts] == ["user.created", "session.created", "session.ended"]
        for each in endpoint.received("/two"):
            for secret in (first, second):
                assert Webhook(secret).verify(each.body, each.headers) == each.fact
            with pytest.raises(WebhookVerificationError):
                Webhook(first).verify(each.body + " ", each.headers)
        sent = [[each.body, each.headers] for each in endpoint.received("/two")]
        for secret in (first, second):
            assert verified_by_node(secret, sent) == [each.fact for each in endpoint.received("/two")]
        webhooks(shared_installation, "remove", webhook_id)

    async def test_what_a_receiver_does_not_accept_waits_is_given_up_after_three_days_and_can_be_sent_again(
        self, shared_installation: Installation, shared_nodes: Pair, endpoint: Receiver, log_in: Any
    ) -> None:
        webhooks(shared_installation, "create", endpoint.url + "/later", "--events", "session.*")
        listed = webhooks(shared_installation, "list").splitlines()
        webhook_id = next(line.split()[0] for line in listed if "/later" in line)
        stored = mongo_client(shared_installation.services.mongo)[shared_installation.name]["webhook_deliveries"]
        endpoint.answer(302)
        login = await log_in(shared_nodes[0])
        await login.call("POST", "/logout")

        async def states(*wanted: str) -> list[Any]:
            async def found() -> list[Any] | None:
                which = {"webhookId": webhook_id, "userId": login.user_id}
                theirs = list(stored.find(which, sort=[("number", 1)]))
                return theirs if [each["state"] for each in theirs] == list(wanted) else None

            return await eventually(found, f"{wanted} in the store", timeout=60, every=0.2)

        first, second = await states("waiting", "behind")
        assert (first["lastError"], second["attempts"]) == ("answered 302", 0)
        # The other users do not wait for this one.
        endpoint.answer(204)
        other = await log_in(shared_nodes[1])
        await endpoint.until(other.user_id, "session.created", path="/later")
        endpoint.answer(500)
        days_ago = first["storedAt"] - timedelta(days=3, seconds=1)
        stored.update_many({"webhookId": webhook_id}, {"$set": {"storedAt": days_ago, "dueAt": days_ago}})
        await states("failed", "failed")
        assert endpoint.accepted(login.user_id, "/later") == []
        said = await asyncio.to_thread(webhooks, shared_installation, "deliveries", webhook_id)
        assert said.count("failed, ") >= 2
        endpoint.answer(204)
        await asyncio.to_thread(webhooks, shared_installation, "send-again", webhook_id)
        facts = await endpoint.until(login.user_id, "session.ended", path="/later")
        assert [each["type"] for each in facts] == ["session.created", "session.ended"]
        ids = {each.headers["webhook-id"] for each in endpoint.received("/later") if each.fact in facts}
        assert len(ids) == 2
        assert endpoint.received("/elsewhere") == []
        webhooks(shared_installation, "remove", webhook_id)

    async def test_ended_sessions_are_sent_as_security_event_tokens(
        self,
        shared_installation: Installation,
        shared_nodes: Pair,
        endpoint: Receiver,
        log_in: Any,
        http: aiohttp.ClientSession,
    ) -> None:
        webhooks(shared_installation, "create", endpoint.url + "/set", "--format", "set")
        login = await log_in(shared_nodes[0])
        await login.call("POST", "/logout")

        async def received() -> str | None:
            for each in endpoint.received("/set"):
                assert each.headers["Content-Type"] == "application/secevent+jwt"
                if login.session_id in json.dumps(jwt.decode(each.body, options={"verify_signature": False})):
                    return each.body
            return None

        token = await eventually(received, "the token", timeout=60)
        async with http.get(f"{shared_nodes[1].url}/.well-known/jwks.json") as answer:
            keys = jwt.PyJWKSet.from_dict(await answer.json())
        header = jwt.get_unverified_header(token)
        assert header["typ"] == "secevent+jwt"
        claims = jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=["EdDSA"],
            audience=endpoint.url,
            issuer="http://127.0.0.1:8000",
            options={"require": ["iss", "aud", "iat", "jti"]},
        )
        assert claims["sub_id"]["user"]["sub"] == login.user_id
        (event,) = claims["events"]
        assert event.endswith("/caep/event-type/session-revoked")
        # It is no access token.
        me = await Api(shared_nodes[0].url, http).call("GET", "/me", headers={"Authorization": f"Bearer {token}"})
        assert me.code == "invalid_token"
        listed = webhooks(shared_installation, "list").splitlines()
        webhooks(shared_installation, "remove", next(line.split()[0] for line in listed if "/set" in line))

    @pytest.mark.parametrize(
        "url",
        ["http://example.org/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://a.localhost/",
         "https://10.0.0.1/x", "https://127.1/",
         "https://user:secret@example.org/", "ftp://example.org/", "https://", "https://[::ffff:127.0.0.1]/"],
    )  # fmt: skip
    def test_private_addresses_and_other_urls_are_refused(
        self, shared_installation: Installation, node: Node, url: str
    ) -> None:
        environ = shared_installation.environ(VIGIL_WEBHOOKS_PRIVATE="off")
        done = run_command("webhooks", "create", url, environ=environ)
        assert (done.status, done.out) == (1, ""), done
