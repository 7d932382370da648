"""What a verifier does while its stream is lost: silent, refused, cut off, or nonsense."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal

import aiohttp
import pytest
from support.backends import create_key
from support.breakable import Way
from support.clients import Api, Login
from support.nodes import Installation, Node
from support.waiting import eventually
from vigil_verify import Health, SessionRevoked, Unavailable, Verifier

ISSUER = "http://127.0.0.1:8000"
STALE_AFTER = 3.0

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def verifier(
    url: str, key: str, when_stale: Literal["refuse", "accept"], told: list[Health]
) -> Iterator[Verifier]:
    with Verifier(
        ISSUER, server_key=key, urls=[url], stale_after=STALE_AFTER, when_stale=when_stale, on_health=told.append
    ) as made:
        yield made


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """The URL of a server whose connections are served by `answer`, and closed at the end."""
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(await reader.readuntil(b"\r\n\r\n"), writer)
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()


async def becomes(made: Verifier, *, current: bool) -> None:
    async def is_so() -> bool:
        return made.health.is_current is current

    await eventually(is_so, f"is_current is {current}", timeout=45)


async def test_a_silent_stream_is_noticed_told_and_made_up_for(
    shared_installation: Installation,
    node: Node,
    http: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    start_service: Any,
) -> None:
    key = create_key(shared_installation, "revocations")
    api = Api(node.url, http)
    email = await api.register()
    kept, ended = [await api.login(email) for _ in range(2)]
    way = Way(node.url)
    await way.open()
    settings = {"ISSUER": ISSUER, "SERVER_KEY": key, "URLS": way.url, "STALE_AFTER": str(STALE_AFTER)}
    in_node = (await start_service("express_app.mjs", **settings)).url

    async def node_answers(login: Login, status: int) -> None:
        async def so() -> bool:
            headers = {"Authorization": f"Bearer {login.access_token}"}
            async with http.get(f"{in_node}/me", headers=headers) as answer:
                return answer.status == status

        await eventually(so, f"{status} from Node.js", timeout=45)

    strict: list[Health] = []
    lenient: list[Health] = []
    try:
        with verifier(way.url, key, "refuse", strict) as one, verifier(way.url, key, "accept", lenient) as other:
            for made in (one, other):
                await becomes(made, current=True)
                assert (await made.verify_async(kept.access_token)).user_id == kept.user_id
            await node_answers(kept, 200)
            # The connections stay open, and nothing arrives.
            way.hold()
            assert (await ended.call("POST", "/logout")).status == 200
            for made in (one, other):
                await becomes(made, current=False)
            await node_answers(kept, 503)
            with pytest.raises(Unavailable):
                one.verify(kept.access_token)
            assert other.verify(ended.access_token).session_id == ended.session_id
            way.let_through()
            for made in (one, other):
                await becomes(made, current=True)
                made.verify(kept.access_token)
                with pytest.raises(SessionRevoked):
                    made.verify(ended.access_token)
            await node_answers(kept, 200)
            await node_answers(ended, 401)
    finally:
        await way.close()
    for told in (strict, lenient):
        assert [each.is_current for each in told][-3:] == [True, False, True]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any("Tokens are refused" in text for text in errors)
    assert any("ACCEPTED" in text for text in errors)


async def test_a_key_without_the_scope_never_counts_as_current(
    shared_installation: Installation, node: Node, http: aiohttp.ClientSession
) -> None:
    key = create_key(shared_installation, "presence")
    login = await Api(node.url, http).login(await Api(node.url, http).register())
    with verifier(node.url, key, "refuse", []) as made:
        with pytest.raises(Unavailable):
            await made.verify_async(login.access_token)
        assert "403" in str(made.health.last_error)


@pytest.mark.parametrize(
    "said",
    [
        b"event: revoked\ndata: {}\n\n",
        b"event: revoked\ndata: [[[[\n\n",
        b"event: caught-up\ndata: " + b"x" * 200_000,
        b"event: caught-up",
        b"\xff\xfe\n\n",
        b"".join(b"a%d: x\n" % number for number in range(10_000)),
        b"event: news\ndata: {}\n\n",
        b"",
    ],
)
async def test_nonsense_instead_of_a_stream_is_no_proof(said: bytes) -> None:
    asked = threading.Event()

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"revocations" in request:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + said)
            asked.set()

    async with answering(answer) as url:
        with verifier(url, "vsk_x", "refuse", []) as made:
            for _ in range(2):
                assert await asyncio.to_thread(asked.wait, 30)
                asked.clear()
            assert not made.health.is_current
            assert len(made._revocations or ()) == 0


async def test_a_stream_that_a_proxy_keeps_open_without_a_node_is_left_for_another_node(
    node: Node,
    shared_installation: Installation,
    start_service: Any,
    http: aiohttp.ClientSession,
) -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"revocations" in request:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            while True:
                writer.write(b": still here\n\nevent: news\ndata: {}\n\n")
                await writer.drain()
                await asyncio.sleep(0.5)

    key = create_key(shared_installation, "revocations")
    api = Api(node.url, http)
    login = await api.login(await api.register())

    async def node_accepts() -> bool:
        headers = {"Authorization": f"Bearer {login.access_token}"}
        async with http.get(f"{in_node}/me", headers=headers) as reply:
            return reply.status == 200

    async with answering(answer) as proxy:
        # Two of them first: each library begins with another of its URLs.
        urls = [proxy, proxy, node.url]
        settings = {"ISSUER": ISSUER, "SERVER_KEY": key, "URLS": ",".join(urls), "STALE_AFTER": str(STALE_AFTER)}
        # `fetch` of Node.js forgets the signal of a response whose request was collected.
        settings |= {"COLLECT_GARBAGE": "yes"}
        in_node = (await start_service("express_app.mjs", **settings)).url
        with Verifier(ISSUER, server_key=key, urls=urls, stale_after=STALE_AFTER) as made:
            await becomes(made, current=True)
            await eventually(node_accepts, "Node.js has found the node", timeout=45)


async def test_a_hook_of_the_service_that_fails_ends_nothing(
    node: Node, shared_installation: Installation, http: aiohttp.ClientSession
) -> None:
    key = create_key(shared_installation, "revocations")
    api = Api(node.url, http)
    login = await api.login(await api.register())

    def fail(_: Health) -> None:
        raise RuntimeError("of the service")

    with Verifier(ISSUER, server_key=key, urls=[node.url], on_health=fail) as made:
        await becomes(made, current=True)
        assert made.verify(login.access_token).user_id == login.user_id
        assert (await login.call("POST", "/logout")).status == 200

        async def is_refused() -> bool:
            try:
                made.verify(login.access_token)
            except SessionRevoked:
                return True
            return False

        await eventually(is_refused, "the stream goes on", timeout=30)


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    ],
)
async def test_an_answer_that_holds_no_keys_is_no_error_of_the_service(
    node: Node, http: aiohttp.ClientSession, said: bytes
) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    login = await Api(node.url, http).login(await Api(node.url, http).register())
    async with answering(answer) as wrong:
        with Verifier(ISSUER, urls=[wrong]) as made, pytest.raises(Unavailable):
            await made.verify_async(login.access_token)
        with Verifier(ISSUER, urls=[wrong, node.url]) as made:
            assert (await made.verify_async(login.access_token)).user_id == login.user_id
