"""The revocations that other services follow, over two nodes: pages and streams."""

import asyncio
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from support.backends import Backend, create_key
from support.commands import run_command
from support.event_streams import STREAM, opened
from support.nodes import Installation, Node


@pytest.fixture(scope="module")
def key(shared_installation: Installation, shared_nodes: Any) -> str:
    return create_key(shared_installation, "revocations")


@pytest.fixture
def backend(key: str, node: Node, http: aiohttp.ClientSession) -> Backend:
    return Backend(node.url, key, http)


async def test_a_page_has_what_was_revoked_and_goes_on_where_it_ended(
    backend: Backend, shared_nodes: tuple[Node, Node], log_in: Any
) -> None:
    logins = [await log_in(node) for node in shared_nodes]
    for login in logins:
        await login.call("POST", "/logout")
    page = (await backend.call("GET", "/revocations")).data
    found = {each["sessionId"]: each for each in page["revocations"]}
    for login in logins:
        item = found[login.session_id]
        assert (item["userId"], item["reason"]) == (login.user_id, "logout")
        assert item["until"] > item["at"]
    assert not page["more"]
    one_by_one: list[str] = []
    after = ""
    while len(one_by_one) < len(found):
        part = (await backend.call("GET", f"/revocations?limit=1{after}")).data
        one_by_one += [each["sessionId"] for each in part["revocations"]]
        after = f"&after={part['next']}"
    assert one_by_one == [each["sessionId"] for each in page["revocations"]]
    # A cursor at the end repeats a minute, in which a revocation could still be stored.
    again = (await backend.call("GET", f"/revocations?after={page['next']}")).data
    assert {login.session_id for login in logins} <= {each["sessionId"] for each in again["revocations"]}


async def test_a_stream_begins_with_what_is_in_force_and_goes_on_with_news_of_every_node(
    backend: Backend, shared_nodes: tuple[Node, Node], log_in: Any
) -> None:
    before, *later = [await log_in(node) for node in (*shared_nodes, shared_nodes[0])]
    await before.call("POST", "/logout")
    async with opened(backend) as stream, opened(backend.at(shared_nodes[1].url)) as other:
        for each in (stream, other):
            snapshot = await each.until("caught-up")
            assert before.session_id in {data.get("sessionId") for _, data in snapshot}
        for login in later:
            await login.call("POST", "/logout-all")
            for each in (stream, other):
                *_, (_, data) = await each.until("revoked", sessionId=login.session_id)
                assert (data["userId"], data["reason"]) == (login.user_id, "logout_all")
        await stream.until("alive")
        last_id = stream.last_id
    # On another node, too.
    async with opened(backend.at(shared_nodes[1].url), last_id=last_id, path="/revocations?after=0") as stream:
        snapshot = await stream.until("caught-up")
        assert later[-1].session_id in {data.get("sessionId") for _, data in snapshot}


async def test_no_proxy_may_hold_a_stream_back(backend: Backend) -> None:
    """Neither nginx, which buffers, nor one that compresses. `Accept` can be several lines."""
    lines = [("Accept", "*/*"), ("Accept", STREAM["Accept"]), ("Authorization", f"Bearer {backend.key}")]
    async with backend.http.get(f"{backend.url}/api/server/revocations", headers=CIMultiDict(lines)) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"


async def test_a_revoked_key_ends_the_stream(
    shared_installation: Installation, backend: Backend, shared_nodes: tuple[Node, Node]
) -> None:
    own = Backend(backend.url, create_key(shared_installation, "revocations"), backend.http)
    async with opened(own) as stream:
        await stream.until("caught-up")
        key_id = str(own.key).split("_")[1]
        done = await asyncio.to_thread(
            run_command, "server-keys", "revoke", key_id, environ=shared_installation.environ()
        )
        assert done.status == 0
        while await stream.next():
            pass
    refused = await own.call("GET", "/revocations", headers=STREAM)
    assert (refused.status, refused.code) == (401, "invalid_token")


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=", "?after=1-", "?after=999999999999999", "?after=1&after=2", "?limit=0",
              "?limit=1001", "?from=1", "?after=-1", "?after=1-g"],
)  # fmt: skip
async def test_a_wrong_question_is_refused(backend: Backend, query: str) -> None:
    for headers in ({}, STREAM):
        answer = await backend.call("GET", f"/revocations{query}", headers=headers)
        assert (answer.status, answer.code) == (400, "invalid_request")


async def test_streams_of_a_key_are_bounded_and_none_stays_open(
    shared_installation: Installation, backend: Backend
) -> None:
    own = Backend(backend.url, create_key(shared_installation, "revocations"), backend.http)
    headers = STREAM | {"Authorization": f"Bearer {own.key}"}
    url = f"{own.url}/api/server/revocations"
    answers = await asyncio.gather(*(own.http.get(url, headers=headers) for _ in range(32)))
    try:
        assert {answer.status for answer in answers} == {200}
        refused = await own.call("GET", "/revocations", headers=STREAM)
        assert (refused.status, refused.code) == (429, "rate_limited")
    finally:
        for answer in answers:
            answer.close()


async def test_a_stream_ends_with_the_node_that_drains(
    start_node: Any, installation: Installation, http: aiohttp.ClientSession
) -> None:
    node = start_node()
    backend = Backend(node.url, create_key(installation, "revocations"), http)
    async with opened(backend) as stream:
        await stream.until("caught-up")
        assert await asyncio.to_thread(node.stop, 30) == 0
        while await stream.next():
            pass
