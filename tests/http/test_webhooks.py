"""Webhooks, as administrators manage them; tests/realtime/test_facts.py sends them."""

import re
from typing import Any

import pytest
from support.clients import Api, Login
from support.nodes import Installation, Node, mongo_client

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
URL = "https://receiver.example/vigil?key=of-the-receiver"


async def create(admin: Login, **body: Any) -> tuple[str, str]:
    """An endpoint that the admin creates: its id, and its secret."""
    answer = await admin.call("POST", "/admin/webhooks", {"url": URL} | body)
    assert answer.status == 201, answer.body
    assert SECRET.fullmatch(answer.data["secret"])
    return answer.data["webhook"]["id"], answer.data["secret"]


async def test_an_admin_creates_lists_and_removes(
    admin: Login, shared_installation: Installation, node: Node
) -> None:
    webhook_id, secret = await create(admin, events=["user.*", "session.ended"])
    other = await admin.call("POST", f"/admin/webhooks/{webhook_id}/secrets")
    assert (other.status, bool(SECRET.fullmatch(other.data["secret"]))) == (201, True)
    listed = (await admin.call("GET", "/admin/webhooks")).data["webhooks"]
    (shown,) = [each for each in listed if each["id"] == webhook_id]
    assert (shown["url"], shown["events"], shown["format"]) == (URL, ["session.ended", "user.*"], "json")
    assert (shown["secrets"], shown["failures"], shown["lastSuccessAt"]) == (2, 0, None)
    for each in (secret, other.data["secret"]):
        assert each not in str(listed)
    stored = mongo_client(shared_installation.services.mongo)[shared_installation.name]["webhooks"]
    assert secret.removeprefix("whsec_") not in str(stored.find_one({"_id": webhook_id}))
    assert (await admin.call("POST", f"/admin/webhooks/{webhook_id}/secrets")).status == 201
    assert len(stored.find_one({"_id": webhook_id})["secrets"]) == 2  # type: ignore[index]
    assert (await admin.call("GET", f"/admin/webhooks/{webhook_id}/deliveries")).status == 200
    sent = await admin.call("POST", f"/admin/webhooks/{webhook_id}/send-again", {"factId": "1"})
    assert sent.data == {"count": 0}
    assert (await admin.call("DELETE", f"/admin/webhooks/{webhook_id}")).status == 200
    for method, path in (
        ("DELETE", ""),
        ("POST", "/secrets"),
        ("GET", "/deliveries"),
        ("POST", "/send-again"),
    ):
        assert (await admin.call(method, f"/admin/webhooks/{webhook_id}{path}")).code == "not_found"
    events = (await admin.call("GET", f"/admin/audit?userId={admin.user_id}")).data["events"]
    about = [event for event in events if event["details"].get("webhook") == webhook_id]
    assert {event["kind"] for event in about} >= {"admin_webhook_created", "admin_webhook_removed"}
    assert "of-the-receiver" not in str(about)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://receiver.example:99999/"}, {"url": "file:///etc/passwd"}, {"url": "https://a b/"},
        {"url": "https://user:password@receiver.example/"}, {"url": "https://r.example/#x"}, {"url": ""},
        {"url": "https://é.example/"},
        {"url": "https://r.example/" + "x" * 2048}, {"url": 1}, {"events": ["session.born"]}, {"events": ["*"]},
        {"events": "user.*"}, {"events": ["user.*"] * 40}, {"format": "xml"}, {"secret": "mine"},
    ],
)  # fmt: skip
async def test_a_wrong_request_creates_nothing(admin: Login, change: dict[str, Any]) -> None:
    answer = await admin.call("POST", "/admin/webhooks", {"url": URL} | change)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert len(answer.body["errors"]) == 1


@pytest.mark.parametrize("fact", ["", "x", "-1", "1" * 17, 1, "٣"])
async def test_what_is_no_fact_is_not_sent_again(admin: Login, fact: Any) -> None:
    answer = await admin.call("POST", f"/admin/webhooks/{'0' * 16}/send-again", {"factId": fact})
    assert answer.code == "invalid_request"


async def test_webhooks_are_for_administrators(api: Api, email: str) -> None:
    login = await api.login(email)
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/x"), ("POST", "/x/secrets")):
        body = {"url": URL} if (method, path) == ("POST", "") else None
        assert (await login.call(method, f"/admin/webhooks{path}", body)).code == "forbidden"
