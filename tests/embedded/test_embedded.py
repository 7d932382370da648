"""The embedded services, with real servers: kept data, one owner, no server left behind, clear complaints."""

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis.asyncio
import redis.exceptions
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import OperationFailure

from runtime.embedded import child as child_servers
from runtime.embedded import services as embedded
from runtime.embedded.services import EmbeddedError, EmbeddedServices, ServiceUrls

ROOT = Path(__file__).resolve().parents[2]
FOREGROUND = """
import sys, pathlib, asyncio, uvloop
from runtime.embedded import services as embedded
run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[1]]
raise SystemExit(run(embedded.run_foreground(pathlib.Path(sys.argv[2]))))
"""
DEADLINE = 10.0

Owner = subprocess.Popen[str]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory, with nothing left running on it when the test is over."""
    directory = tmp_path / "data dir"
    yield directory
    leftover = servers_of(directory)
    for pid in leftover:
        os.kill(pid, signal.SIGKILL)
    assert not leftover


def servers_of(data_dir: Path) -> list[int]:
    """The processes whose command line names the data directory as an argument, or a place in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
            if any(argument.startswith(f"{data_dir}/") for argument in arguments):
                found.append(int(process.name))
    return found


def server_of(data_dir: Path, name: str) -> int:
    """The process id of the server `mongo` or `redis`."""
    return int((data_dir / f"{name}.pid").read_text())


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def start_owner(data_dir: Path, event_loop: str = "asyncio") -> tuple[Owner, ServiceUrls]:
    """A process of its own that runs the services in the foreground, once they answer."""
    owner = subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, event_loop, str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    lines = [owner.stdout.readline().strip() for _ in range(2)]
    urls = dict(line.split("=", 1) for line in lines)
    assert list(urls) == ["VIGIL_MONGO_URL", "VIGIL_REDIS_URL"]
    return owner, ServiceUrls(urls["VIGIL_MONGO_URL"], urls["VIGIL_REDIS_URL"])


def end_owner(owner: Owner, order: signal.Signals) -> tuple[int, str, str]:
    """Its exit code and what it had still to say on either output."""
    os.kill(owner.pid, order)
    out, err = owner.communicate(timeout=DEADLINE)
    return owner.returncode, out, err


async def note(services: ServiceUrls, value: str) -> None:
    """Write to both, as durably as Vigil writes sessions and users."""
    async with AsyncMongoClient[Any](services.mongo_url) as client:
        notes = client.vigil.get_collection("notes", write_concern=WriteConcern("majority", j=True))
        await notes.insert_one({"_id": value})
    async with redis.asyncio.Redis.from_url(services.redis_url) as connection:
        await cast("Awaitable[int]", connection.sadd("notes", value))


async def notes(services: ServiceUrls) -> tuple[set[str], set[str]]:
    """What both hold."""
    async with AsyncMongoClient[Any](services.mongo_url) as client:
        in_mongo = {document["_id"] async for document in client.vigil.notes.find()}
    async with redis.asyncio.Redis.from_url(services.redis_url, decode_responses=True) as connection:
        return in_mongo, await cast("Awaitable[set[Any]]", connection.smembers("notes"))


def fake_program(folder: Path, name: str, script: str) -> None:
    """A program found first on PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


class TestData:
    async def test_survive_a_restart_at_the_same_addresses(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        first = await services.start()
        await note(first, "before")
        await services.stop()
        assert not servers_of(data_dir)

        second = await services.start()
        assert second == first
        assert await notes(second) == ({"before"}, {"before"})
        await services.stop()

    async def test_survive_the_servers_being_killed(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        for number in range(3):
            urls = await services.start()
            await note(urls, str(number))
            for name in ("mongo", "redis"):
                os.kill(server_of(data_dir, name), signal.SIGKILL)
            await services.stop()
        async with EmbeddedServices(data_dir) as urls:
            assert await notes(urls) == ({"0", "1", "2"}, {"0", "1", "2"})

    async def test_survive_the_owner_being_killed_and_no_server_outlives_it(self, data_dir: Path) -> None:
        owner, urls = start_owner(data_dir)
        await note(urls, "before")
        assert len(servers_of(data_dir)) == 2
        end_owner(owner, signal.SIGKILL)
        async with EmbeddedServices(data_dir) as urls:  # at once, while they are still on their way out
            assert await notes(urls) == ({"before"}, {"before"})

    async def test_survive_a_move_to_another_port(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        first = await services.start()
        await note(first, "before")
        await services.stop()
        async with contextlib.AsyncExitStack() as taken:
            for name in ("mongo", "redis"):
                port = int((data_dir / f"{name}.port").read_text())
                await taken.enter_async_context(
                    await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", port)
                )
            async with services as second:
                assert second.mongo_url != first.mongo_url
                assert second.redis_url != first.redis_url
                await note(second, "after")
                assert await notes(second) == ({"before", "after"}, {"before", "after"})


class TestOwnership:
    async def test_a_second_owner_is_refused_and_the_first_undisturbed(self, data_dir: Path) -> None:
        owner, urls = start_owner(data_dir)
        with pytest.raises(EmbeddedError, match=f"data directory is in use by process {owner.pid} "):
            await EmbeddedServices(data_dir).start()
        await note(urls, "still here")
        end_owner(owner, signal.SIGTERM)

    async def test_a_second_owner_in_the_same_process_is_refused(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        await services.start(mongo=False)
        with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()} "):
            await EmbeddedServices(data_dir).start(mongo=False)
        with pytest.raises(EmbeddedError, match="already started"):
            await services.start(mongo=False)
        await services.stop()

    @pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
    async def test_the_servers_end_when_their_owner_is_killed(self, data_dir: Path, event_loop: str) -> None:
        owner, _ = start_owner(data_dir, event_loop)
        end_owner(owner, signal.SIGKILL)
        assert eventually(lambda: not servers_of(data_dir))

    async def test_an_orphan_is_ended_before_the_start(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(child_servers, "_STOP_SECONDS", 0.5)
        owner, urls = start_owner(data_dir)
        await note(urls, "before")
        orphan = server_of(data_dir, "redis")
        os.kill(orphan, signal.SIGSTOP)  # deaf to the request to end that follows its owner's death
        end_owner(owner, signal.SIGKILL)
        assert orphan in servers_of(data_dir)
        async with EmbeddedServices(data_dir) as urls:
            assert orphan not in servers_of(data_dir)
            assert await notes(urls) == ({"before"}, {"before"})

    async def test_a_stranger_under_a_remembered_process_id_is_left_alone(self, data_dir: Path) -> None:
        data_dir.mkdir()
        stranger = subprocess.Popen(["sleep", "60"])
        (data_dir / "redis.pid").write_text(str(stranger.pid))
        async with contextlib.AsyncExitStack() as stack:
            services = EmbeddedServices(data_dir)
            await services.start(mongo=False)
            stack.push_async_callback(services.stop)
            assert stranger.poll() is None
        stranger.kill()
        stranger.wait()

    async def test_a_hung_server_does_not_hold_up_the_stop(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        await services.start(mongo=False)
        os.kill(server_of(data_dir, "redis"), signal.SIGSTOP)
        begun = time.monotonic()
        await services.stop()
        assert time.monotonic() - begun < 5

    async def test_a_start_given_up_leaves_nothing(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        starting = asyncio.create_task(services.start())
        while not (data_dir / "mongo.pid").exists():
            await asyncio.sleep(0.001)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not servers_of(data_dir)
        async with services:
            assert len(servers_of(data_dir)) == 2


class TestPrivacy:
    async def test_only_the_owner_of_the_directory_gets_in(self, data_dir: Path) -> None:
        async with EmbeddedServices(data_dir) as urls:
            without = re.sub(r"//.*@", "//", urls.redis_url)
            async with redis.asyncio.Redis.from_url(without) as connection:
                with pytest.raises(redis.exceptions.AuthenticationError):
                    await connection.get("notes")
            bare = re.sub(r"//.*@(.*)\?.*", r"//\1?directConnection=true", urls.mongo_url)
            async with AsyncMongoClient[Any](bare) as client:
                with pytest.raises(OperationFailure, match="requires authentication"):
                    await client.vigil.notes.find_one()
                with pytest.raises(OperationFailure, match="requires authentication"):
                    await client.admin.command("createUser", "first", pwd="x", roles=["root"])
            open_to_others = [
                path
                for path in (data_dir, *data_dir.rglob("*"))
                if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
            ]
            assert not open_to_others

    async def test_the_servers_listen_on_loopback_only_and_on_no_shared_socket_file(self, data_dir: Path) -> None:
        async with EmbeddedServices(data_dir):
            for name in ("mongo", "redis"):
                pid, port = server_of(data_dir, name), int((data_dir / f"{name}.port").read_text())
                inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
                listening = [
                    line.split()[1]
                    for table in ("tcp", "tcp6")
                    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
                    if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
                ]
                assert listening == [f"0100007F:{port:04X}"]
                assert not Path(f"/tmp/mongodb-{port}.sock").exists()

    async def test_the_servers_do_not_inherit_our_secrets(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VIGIL_SECRET_KEY", "not for them")
        services = EmbeddedServices(data_dir)
        await services.start(mongo=False)
        assert b"VIGIL" not in Path(f"/proc/{server_of(data_dir, 'redis')}/environ").read_bytes()
        await services.stop()


class TestChoice:
    async def test_only_those_asked_for_are_started(self, data_dir: Path) -> None:
        services = EmbeddedServices(data_dir)
        urls = await services.start(mongo=False)
        assert urls.mongo_url == ""
        assert servers_of(data_dir) == [server_of(data_dir, "redis")]
        await services.stop()
        urls = await services.start(redis=False)
        assert urls.redis_url == ""
        assert servers_of(data_dir) == [server_of(data_dir, "mongo")]
        await services.stop()

    async def test_a_program_on_the_path_that_is_too_old_gives_way_to_the_packaged_one(
        self, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake_program(tmp_path / "bin", "redis-server", "echo 'Redis server v=7.0.15 sha=0:0 bits=64'")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        async with EmbeddedServices(data_dir) as urls, redis.asyncio.Redis.from_url(urls.redis_url) as connection:
            await cast("Awaitable[int]", connection.hset("hash", "field", "value"))
            assert await connection.hexpire("hash", 60, "field") == [1]


class TestComplaints:
    """Each is one line that names the cure."""

    @pytest.fixture
    def bare_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """No servers on PATH and no packages with them; the folder that PATH names."""
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(embedded, "_in_package", lambda _: [])
        return tmp_path / "bin"

    async def complaint(self, data_dir: Path, *, mongo: bool = True, redis: bool = True) -> str:
        with pytest.raises(EmbeddedError) as caught:
            await EmbeddedServices(data_dir).start(mongo=mongo, redis=redis)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    async def test_a_missing_program(self, data_dir: Path, bare_machine: Path) -> None:
        mongo = await self.complaint(data_dir, redis=False)
        assert mongo == "mongod is missing: set VIGIL_MONGO_URL, or install MongoDB 6.0 or newer"
        redis = await self.complaint(data_dir, mongo=False)
        assert (
            redis == "valkey-server is missing: set VIGIL_REDIS_URL, or install Valkey 9.0 or Redis 7.4 or newer"
        )

    async def test_a_missing_library(self, data_dir: Path, bare_machine: Path) -> None:
        fake_program(
            bare_machine,
            "mongod",
            "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file:"
            " No such file or directory' >&2; exit 127",
        )
        assert await self.complaint(data_dir, redis=False) == "mongod needs libcurl.so.4: apt-get install libcurl4"

    async def test_a_program_too_old(self, data_dir: Path, bare_machine: Path) -> None:
        fake_program(bare_machine, "mongod", "echo 'db version v4.4.29'")
        message = await self.complaint(data_dir, redis=False)
        assert message.endswith("mongod is too old: set VIGIL_MONGO_URL, or install MongoDB 6.0 or newer")

    async def test_a_program_for_another_processor(self, data_dir: Path, bare_machine: Path) -> None:
        fake_program(bare_machine, "mongod", "kill -ILL $$")
        assert "does not run here (this processor lacks" in await self.complaint(data_dir, redis=False)

    async def test_a_server_that_ends_during_its_start_is_quoted(self, data_dir: Path) -> None:
        (data_dir / "redis" / "appendonlydir").mkdir(parents=True)
        (data_dir / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("broken\n")
        message = await self.complaint(data_dir, mongo=False)
        assert message.startswith("redis ended with status 1: ")
        assert "manifest" in message
        assert str(data_dir / "redis.log") in message

        (data_dir / "mongo").mkdir()
        (data_dir / "mongo" / "storage.bson").write_text("broken")
        message = await self.complaint(data_dir, redis=False)
        assert message.startswith("mongo ")
        assert str(data_dir / "mongo.log") in message

    async def test_a_data_directory_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        message = await self.complaint(tmp_path / "file" / "data")
        assert message == f"cannot use the data directory {tmp_path}/file/data: Not a directory"

    async def test_a_server_that_ends_later_is_reported(
        self, data_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        services = EmbeddedServices(data_dir)
        await services.start(mongo=False)
        os.kill(server_of(data_dir, "redis"), signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            while not caplog.messages:
                await asyncio.sleep(0.01)
        assert caplog.messages[0].startswith("redis was ended by SIGKILL")
        await services.stop()


class TestForeground:
    @pytest.mark.parametrize(("order", "event_loop"), [(signal.SIGTERM, "asyncio"), (signal.SIGINT, "uvloop")])
    async def test_it_prints_two_working_addresses_and_stops_when_told(
        self, data_dir: Path, order: signal.Signals, event_loop: str
    ) -> None:
        owner, urls = start_owner(data_dir, event_loop)
        await note(urls, "here")
        assert await notes(urls) == ({"here"}, {"here"})
        assert end_owner(owner, order) == (0, "", "")
        assert not servers_of(data_dir)

    async def test_ctrl_c_in_the_terminal_reaches_the_owner_alone(self, data_dir: Path) -> None:
        owner, _ = start_owner(data_dir)
        groups = {os.getpgid(pid) for pid in servers_of(data_dir)}
        assert len(groups) == 2
        assert os.getpgid(owner.pid) not in groups
        assert end_owner(owner, signal.SIGINT)[0] == 0

    async def test_it_can_be_told_to_stop_while_it_starts(self, data_dir: Path) -> None:
        owner = subprocess.Popen([sys.executable, "-c", FOREGROUND, "asyncio", str(data_dir)], cwd=ROOT)
        assert eventually((data_dir / "mongo.pid").exists)
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(DEADLINE) == 0
        assert not servers_of(data_dir)
