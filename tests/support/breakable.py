"""A MongoDB and a Redis that tests can kill, freeze, empty and restart, and proxies that can block traffic."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import redis
from pymongo import MongoClient

from auth.platform.slow_readers import drop
from runtime.embedded.services import EmbeddedServices
from support.nodes import Installation, ServiceUrls

T = TypeVar("T")


class Background:
    """An event loop in a separate thread, which outlives the loop of a single test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(90)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Breakable:
    """One service in a separate process. It restarts at the same address with its data."""

    def __init__(self, background: Background, folder: Path, kind: Literal["mongo", "redis"]) -> None:
        self._background = background
        self._folder = folder
        self._kind = kind
        self._services = EmbeddedServices(folder)
        self.url = ""

    @property
    def pid(self) -> int:
        return int((self._folder / f"{self._kind}.pid").read_text())

    def start(self) -> None:
        started = self._background.run(
            self._services.start(mongo=self._kind == "mongo", redis=self._kind == "redis")
        )
        url = started.mongo_url or started.redis_url
        assert self.url in {"", url}, "it came back at another address"
        self.url = url

    def stop(self) -> None:
        with suppress(OSError):
            self.thaw()
        self._background.run(self._services.stop())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Delete the data of a stopped Redis."""
        for file in (self._folder / self._kind).rglob("appendonly*/*"):
            file.unlink()


class Stores:
    """A MongoDB and a Redis for one test module."""

    def __init__(self, folder: Path) -> None:
        self._background = Background()
        self.mongo = Breakable(self._background, folder / "m", "mongo")
        self.redis = Breakable(self._background, folder / "r", "redis")
        self._ways: list[Way] = []

    def __enter__(self) -> Self:
        self.mongo.start()
        self.redis.start()
        return self

    def __exit__(self, *_: object) -> None:
        for way in self._ways:
            self._background.run(way.close())
        self.mongo.stop()
        self.redis.stop()
        self._background.close()

    @property
    def urls(self) -> ServiceUrls:
        return ServiceUrls(self.mongo.url, self.redis.url)

    def installation(self) -> Installation:
        return Installation(self.urls)

    def way_to(self, url: str) -> "Way":
        """Create a proxy to the service at `url`, so that a single node can be cut off from it."""
        way = Way(url)
        self._background.run(way.open())
        self._ways.append(way)
        return way

    def mend(self) -> None:
        """Restore everything that a test broke."""
        for service in (self.mongo, self.redis):
            try:
                service.thaw()
                os.kill(service.pid, 0)
            except (OSError, ValueError):
                service.start()
        for way in self._ways:
            way.let_through()

    def redis_client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.url)

    def mongo_client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.mongo.url, serverSelectionTimeoutMS=5000, tz_aware=True)


class Way:
    """A TCP proxy. `hold` blocks traffic without closing connections, like a network that loses every packet.

    `lag` delays the service's answers by an increasing time. `lose` loses some of them; `lost` counts them.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = parts.hostname, parts.port
        self._address = f"{parts.hostname}:{parts.port}"
        self._origin = url
        # Directions that are blocked: what the client asks (True), what the service answers (False).
        self._closed: frozenset[bool] = frozenset()
        self._halves = False
        self._held_words: tuple[bytes, ...] = ()
        self._lag_from = 0.0
        self._lag_growth = 0.0
        self._share_lost = 0.0
        self.lost = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.url = ""
        self.held = threading.Event()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._origin.replace(self._address, f"127.0.0.1:{port}")

    async def close(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def hold(self, *, asks: bool = True, answers: bool = True, halves: bool = False) -> None:
        """Block one direction or both; with `halves` after half of the next chunk has gone through."""
        self._halves = halves
        self._closed = frozenset([True] * asks + [False] * answers)

    def hold_back(self, *words: bytes) -> None:
        """Block a client's input from the first chunk that contains one of `words`."""
        self.held.clear()
        self._held_words = words

    def lag(self, *, growth: float) -> None:
        """Delay what Redis sends by `growth` more seconds with each second."""
        self._lag_from, self._lag_growth = time.monotonic(), growth

    def lose(self, share: float) -> None:
        """Reset the connection of a client instead of passing an answer on, with this probability."""
        self._share_lost = share

    def let_through(self) -> None:
        self._held_words = ()
        self._lag_growth = self._share_lost = 0.0
        self._closed = frozenset()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pump(reader, back, asks=True), self._pump(onward, writer, asks=False))
        finally:
            self._writers -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)

        async def read() -> None:
            chunk = b"something"
            while chunk:
                try:
                    chunk = await reader.read(65536)
                except OSError:
                    chunk = b""
                await chunks.put((time.monotonic(), chunk))

        reading = asyncio.create_task(read())
        try:
            while (arrival := await chunks.get())[1]:
                read_at, chunk = arrival
                while not asks and time.monotonic() < read_at + (read_at - self._lag_from) * self._lag_growth:
                    await asyncio.sleep(0.005)
                if not asks and random.random() < self._share_lost:
                    self.lost += 1
                    drop(writer.transport)
                    break
                if self._halves and asks in self._closed:
                    writer.write(chunk[: len(chunk) // 2])
                    chunk = chunk[len(chunk) // 2 :]
                while asks in self._closed or (asks and self._is_held(chunk)):
                    await asyncio.sleep(0.005)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            reading.cancel()
            writer.close()

    def _is_held(self, chunk: bytes) -> bool:
        held = any(word in chunk for word in self._held_words)
        if held:
            self.held.set()
        return held
