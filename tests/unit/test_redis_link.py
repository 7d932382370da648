"""What Redis replies is an answer or an outage: there is nothing in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from support.waiting import eventually

from auth.core.errors import Unavailable
from auth.platform.redis.link import RedisLink
from realtime.broker.scripts import load

# As Redis and Valkey word them (server.c, cluster.c, acl.c, script.c), and what a script's defect would look like.
REFUSALS = [
    "NOREPLICAS Not enough good replicas to write.",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Valkey is loading the dataset in memory",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "MOVED 3999 127.0.0.1:6381",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOAUTH Authentication required.",
    "NOPERM User vigil has no permissions to run the 'evalsha' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR user_script:3: attempt to compare nil with number script: 1f, on @user_script:3.",
    "SOMETHING of a version that is still to be written",
]

Make = Callable[..., Awaitable[RedisLink]]


@pytest.fixture
async def link_to() -> AsyncIterator[Make]:
    """A link to a peer that answers each command, once it was greeted, by the function it is given."""
    closing: list[tuple[asyncio.Server, RedisLink]] = []
    serving: set[asyncio.Task[None] | None] = set()

    # A busy machine may take longer than the second of a node.
    async def make(answer: Callable[[bytes], bytes], *, answer_seconds: float = 5) -> RedisLink:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.current_task())
            with suppress(ConnectionError):
                while command := await reader.read(65536):
                    writer.write(b"+OK\r\n" if b"SETNAME" in command else answer(command))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        link = RedisLink(url, prefix="t", answer_seconds=answer_seconds)
        closing.append((server, link))
        return link

    yield make
    for server, link in closing:
        await link.close()
        server.close()
    await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.parametrize("reply", REFUSALS, ids=[each.split()[0] for each in REFUSALS])
async def test_an_error_that_redis_replies_is_an_outage_of_commands_and_of_scripts(
    link_to: Make, reply: str
) -> None:
    link = await link_to(lambda _: f"-{reply}\r\n".encode())
    before = link.epoch_of(0)
    with pytest.raises(Unavailable) as outage:
        await link.execute("GET", "key")
    assert str(outage.value.__cause__) == reply
    with pytest.raises(Unavailable):
        await load(link, "renew")(keys=["key"])
    # What was to be written there may be missing: the deny-list is in doubt.
    assert link.epoch_of(0) > before


async def test_a_script_that_redis_does_not_know_is_no_outage(link_to: Make) -> None:
    link = await link_to(
        lambda command: b"-NOSCRIPT No matching script.\r\n" if b"EVALSHA" in command else b":7\r\n"
    )
    before = link.epoch_of(0)
    assert await load(link, "renew")(keys=["key"]) == 7
    assert link.epoch_of(0) == before


async def test_a_refusal_does_not_keep_others_from_asking(link_to: Make) -> None:
    """Unlike silence, it costs nobody a second."""
    link = await link_to(lambda command: b"-READONLY no\r\n" if b"SET\r\n" in command else b"+PONG\r\n")
    with pytest.raises(Unavailable):
        await link.execute("SET", "key", 1)
    assert await link.execute("PING") == b"PONG"


@pytest.mark.parametrize(
    ("memory", "policy"),
    [
        ({"maxmemory": 0, "maxmemory_policy": "allkeys-lru"}, None),
        ({"maxmemory": 1 << 30, "maxmemory_policy": "noeviction"}, None),
        ({"maxmemory": 1 << 30, "maxmemory_policy": "allkeys-lru"}, "allkeys-lru"),
        ({"maxmemory": 1 << 30, "maxmemory_policy": "volatile-ttl"}, "volatile-ttl"),
        ({"used_memory": 1}, None),
        (None, None),
    ],
)
async def test_it_knows_whether_redis_may_evict_keys(
    link_to: Make, memory: dict[str, object] | None, policy: str | None
) -> None:
    text = "# Memory\r\n" + "".join(f"{name}:{value}\r\n" for name, value in (memory or {}).items())
    reply = f"${len(text)}\r\n{text}\r\n" if memory is not None else "-NOPERM no permissions to run 'info'\r\n"
    link = await link_to(lambda _: reply.encode())
    before = link.epoch_of(0)
    assert await link.evicts() == policy
    assert link.epoch_of(0) == before


async def test_only_those_who_ask_first_wait_for_a_redis_that_does_not_answer(link_to: Make) -> None:
    answers = False
    asked: list[bytes] = []

    def reply(command: bytes) -> bytes:
        asked.append(command)
        return b"+PONG\r\n" if answers else b""

    link = await link_to(reply, answer_seconds=0.5)
    with pytest.raises(Unavailable):
        await link.execute("GET", "key")

    async def is_asked_again() -> bool:
        # The time that a call takes says nothing on a busy machine; one that waits for Redis reaches it.
        with pytest.raises(Unavailable):
            await link.execute("GET", "key")
        return len(asked) >= 3

    await eventually(is_asked_again, "Redis is asked again", timeout=30)
    assert sum(b"GET" in command for command in asked) == 1
    answers = True

    async def answered() -> bool:
        with suppress(Unavailable):
            return await link.execute("PING") == b"PONG"
        return False

    assert await eventually(answered, "calls are answered again", timeout=30)
