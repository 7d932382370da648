"""The pipeline to Redis, on a real one and on peers that misbehave as Redis never should."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from support.nodes import ServiceUrls
from support.waiting import eventually

from auth.platform.redis.address import read_address
from auth.platform.redis.pipe import Pipe, Script

GREETED = b"+OK\r\n"


@pytest.fixture
async def pipe(services: ServiceUrls) -> AsyncIterator[Pipe]:
    pipe = Pipe(read_address(services.redis), silence=30, name="a-test")
    yield pipe
    await pipe.close()


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def pipe_to() -> AsyncIterator[Callable[[Peer], Awaitable[Pipe]]]:
    servers: list[asyncio.Server] = []
    pipes: list[Pipe] = []

    async def make(peer: Peer) -> Pipe:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await peer(reader, writer)
            finally:
                writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        pipes.append(Pipe(read_address(f"redis://127.0.0.1:{port}/0"), silence=0.3, name="a-test"))
        return pipes[-1]

    yield make
    for pipe in pipes:
        await pipe.close()
    for server in servers:
        server.close()


async def test_each_caller_gets_the_answer_to_its_own_command(pipe: Pipe) -> None:
    answers = await asyncio.gather(*(pipe.execute("ECHO", f"number {n}") for n in range(500)))
    assert answers == [f"number {n}".encode() for n in range(500)]


async def test_every_kind_of_answer_arrives(pipe: Pipe) -> None:
    key = secrets.token_hex(8)
    assert await pipe.execute("GET", key) is None
    assert await pipe.execute("RPUSH", key, "a", b"\x00\xff", 3, 1.5) == 4
    assert await pipe.execute("LRANGE", key, 0, -1) == [b"a", b"\x00\xff", b"3", b"1.5"]
    assert await pipe.execute("DEL", key) == 1


async def test_a_refused_command_is_its_callers_business_alone(pipe: Pipe) -> None:
    answers = await asyncio.gather(
        pipe.execute("ECHO", "before"),
        pipe.execute("NONSENSE"),
        pipe.execute("ECHO", "after"),
        return_exceptions=True,
    )
    assert (answers[0], answers[2]) == (b"before", b"after")
    assert isinstance(answers[1], ResponseError)


async def test_a_caller_that_goes_away_takes_nobodys_answer_with_it(pipe: Pipe) -> None:
    await pipe.execute("PING")
    leaving = asyncio.create_task(pipe.execute("ECHO", "leaving"))
    staying = asyncio.create_task(pipe.execute("ECHO", "staying"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"staying"


async def test_a_caller_that_goes_away_while_connecting_leaves_the_connection_to_the_others(pipe: Pipe) -> None:
    leaving, staying = asyncio.create_task(pipe.execute("PING")), asyncio.create_task(pipe.execute("PING"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"PONG"


async def test_redis_lists_the_connection_by_name_and_in_its_database(pipe: Pipe, services: ServiceUrls) -> None:
    assert await pipe.execute("CLIENT", "GETNAME") == b"a-test"
    other = Pipe(read_address(services.redis.rpartition("/")[0] + "/5"), silence=30, name="another")
    assert b" db=5 " in await other.execute("CLIENT", "INFO")
    await other.close()


async def test_a_wrong_password_is_a_redis_that_cannot_be_reached(services: ServiceUrls) -> None:
    wrong = Pipe(read_address(services.redis.replace("redis://:", "redis://:not-")), silence=30, name="a-test")
    with pytest.raises(RedisConnectionError, match="WRONGPASS"):
        await wrong.execute("PING")
    await wrong.close()


async def test_nobody_listens() -> None:
    pipe = Pipe(read_address("redis://127.0.0.1:1/0"), silence=1, name="a-test")
    answers = await asyncio.gather(*(pipe.execute("PING") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisConnectionError] * 3
    await pipe.close()


async def test_a_broken_connection_fails_who_waits_and_the_next_command_has_a_new_one(pipe: Pipe) -> None:
    number = await pipe.execute("CLIENT", "ID")
    waiting = [asyncio.create_task(pipe.execute("CLIENT", "KILL", "ID", number, "SKIPME", "no"))]
    waiting += [asyncio.create_task(pipe.execute("PING")) for _ in range(3)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results[1:]} == {RedisConnectionError}
    assert await pipe.execute("CLIENT", "ID") != number


async def test_an_idle_connection_that_redis_closed_is_replaced_unnoticed(pipe: Pipe, redis_client: Any) -> None:
    number = await pipe.execute("CLIENT", "ID")
    await redis_client.client_kill_filter(_id=str(number))

    async def has_heard() -> bool:
        return pipe._wire is not None and pipe._wire.lost

    await eventually(has_heard, "the pipe hears of it", timeout=30)
    assert await pipe.execute("PING") == b"PONG"


async def test_silence_fails_everybody_who_waits(pipe_to: Any) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(GREETED)
        await reader.read(-1)

    pipe = await pipe_to(silent)
    answers = await asyncio.gather(*(pipe.execute("PING") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisTimeoutError] * 3


async def test_a_slow_redis_that_still_answers_is_no_silent_one(pipe_to: Any) -> None:
    """Ten answers, one every 0.15 s: longer together than the silence of 0.3 s that counts as broken."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(GREETED)
        await reader.read(1000)
        for _ in range(10):
            await asyncio.sleep(0.15)
            writer.write(b"+PONG\r\n")
        await reader.read(-1)

    pipe = await pipe_to(slow)
    assert await asyncio.gather(*(pipe.execute("PING") for _ in range(10))) == [b"PONG"] * 10


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"])
async def test_answers_that_cannot_be_told_apart_reach_nobody(pipe_to: Any, noise: bytes) -> None:
    """What is no answer, and more answers than questions: whose would the next be?"""

    async def noisy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(noise)
        await reader.read(-1)

    pipe = await pipe_to(noisy)
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            await pipe.execute("GET", "x")


async def test_closed_it_stays_closed(pipe: Pipe) -> None:
    await pipe.execute("PING")
    await pipe.close()
    with pytest.raises(RedisConnectionError):
        await pipe.execute("PING")


async def test_a_script_runs_once_whether_redis_knew_it_or_not(pipe: Pipe) -> None:
    key = secrets.token_hex(8)
    script = Script(pipe.execute, f"-- {key}\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await script(keys=[key], args=[2]) == 2
    assert await script(keys=[key], args=[2]) == 4
    with pytest.raises(ResponseError, match="integer"):
        await script(keys=[key], args=["x"])
    await pipe.execute("DEL", key)
