"""`server.py doctor`: what it finds on a sound installation, and on each kind of an unsound one."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from support.commands import run_command
from support.nodes import Installation, ServiceUrls, drop

from auth.core.clock import utc_now
from auth.stores.schema import VERSION
from runtime.doctor import KEY_AGE
from runtime.embedded.services import EmbeddedServices

SOUND = {
    "VIGIL_PUBLIC_URL": "https://auth.example.org",
    "VIGIL_TRUSTED_PROXIES": "10.0.0.0/8",
    "VIGIL_SMTP_URL": "smtp://127.0.0.1:25",
    "VIGIL_DEV_OUTBOX": "off",
}
CHECKS = [
    "settings", "public url", "origins", "proxies", "mail", "file handles", "mongodb version",
    "mongodb replica set", "mongodb clock", "schema", "indexes", "signing keys", "facts", "redis version",
    "redis clock", "redis persistence", "redis eviction",
]  # fmt: skip


@pytest.fixture(scope="module")
def started(services: ServiceUrls) -> Iterator[Installation]:
    """An installation whose database a node has prepared."""
    installation = Installation(services)
    assert installation.start().stop() == 0
    yield installation
    drop(services, installation.name)


@pytest.fixture
def database(started: Installation) -> Iterator[Any]:
    with MongoClient[Any](started.services.mongo) as client:
        yield client[started.name]


async def findings(installation: Installation, **settings: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status, and the findings by check."""
    environ = installation.environ(**{**SOUND, **settings})
    done = await asyncio.to_thread(run_command, "doctor", "--json", environ=environ)
    answer = json.loads(done.out)
    states = {each["state"] for each in answer["checks"]}
    assert answer["state"] == ("fail" if "fail" in states else "warn" if "warn" in states else "ok")
    for each in answer["checks"]:
        assert bool(each["advice"]) == (each["state"] != "ok"), each
    return done.status, {each["check"]: each for each in answer["checks"]}


async def test_a_sound_installation_fails_no_check_and_each_is_one_line(started: Installation) -> None:
    status, found = await findings(started)
    assert status == 0
    assert list(found) == CHECKS
    # The services of the tests are a set of one member, and this machine may allow few files.
    unsound = {name for name, each in found.items() if each["state"] != "ok"}
    assert unsound <= {"mongodb replica set", "file handles"}
    assert found["schema"]["found"] == str(VERSION)
    done = await asyncio.to_thread(run_command, "doctor", environ=started.environ(**SOUND))
    assert done.status == 0
    assert [line[6:].partition(":")[0] for line in done.out.splitlines()] == CHECKS
    assert all(line.startswith(("ok    ", "warn  ")) for line in done.out.splitlines())


async def test_a_missing_index_an_older_schema_and_an_old_key_are_found(
    started: Installation, database: Any
) -> None:
    database["users"].drop_index("email")
    database["users"].insert_one({"_id": "ada"})
    database["schema"].delete_one({"_id": "version"})
    long_ago = utc_now() - KEY_AGE - timedelta(days=1)
    database["signing_keys"].update_many({"activatedAt": {"$ne": None}}, {"$set": {"activatedAt": long_ago}})
    status, found = await findings(started)
    assert status == 0
    assert found["indexes"]["found"] == "missing: users.email"
    assert found["schema"]["advice"].startswith("server.py migrate")
    assert found["signing keys"]["advice"] == "server.py keys rotate"
    assert {found[name]["state"] for name in ("indexes", "schema", "signing keys")} == {"warn"}
    # It changes nothing.
    assert "email" not in database["users"].index_information()
    assert database["schema"].find_one() is None

    database["schema"].insert_one({"_id": "version", "version": VERSION + 1})
    try:
        status, found = await findings(started, VIGIL_SECRET_KEY="another-" + "0123456789abcdef" * 2)
    finally:
        database["schema"].update_one({"_id": "version"}, {"$set": {"version": VERSION}})
    assert status == 1
    assert (found["schema"]["state"], found["signing keys"]["state"]) == ("fail", "fail")


@pytest.mark.parametrize(
    ("settings", "check", "state"),
    [
        ({"VIGIL_PUBLIC_URL": "http://auth.example.org"}, "public url", "fail"),
        ({"VIGIL_PUBLIC_URL": "http://127.0.0.1:8000"}, "public url", "warn"),
        ({"VIGIL_ALLOWED_ORIGINS": "http://chat.example.org"}, "origins", "warn"),
        ({"VIGIL_TRUSTED_PROXIES": ""}, "proxies", "warn"),
        ({"VIGIL_SMTP_URL": ""}, "mail", "fail"),
        ({"VIGIL_MONGO_URL": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"}, "mongodb", "fail"),
        ({"VIGIL_REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "fail"),
        ({"VIGIL_SECOND_SECRET_KEY": "another-" + "0123456789abcdef" * 2}, "signing keys", "warn"),
        ({"VIGIL_PORT": "x"}, "settings", "fail"),
        ({"VIGIL_MONGO_URL": "mongodb://ada:sesame@db/?w=1"}, "settings", "fail"),
    ],
)
async def test_each_unsound_setting_or_store_is_found(
    started: Installation, settings: dict[str, str], check: str, state: str
) -> None:
    status, found = await findings(started, **settings)
    assert found[check]["state"] == state
    assert status == int(state == "fail")
    assert "sesame" not in str(found)


async def test_a_redis_that_may_evict_and_keeps_nothing_on_disk_is_found(
    started: Installation, redis_client: Any
) -> None:
    before = await redis_client.config_get("maxmemory", "maxmemory-policy", "appendonly")
    try:
        await redis_client.config_set("maxmemory", "8gb", "maxmemory-policy", "allkeys-lru", "appendonly", "no")
        status, found = await findings(started)
    finally:
        await redis_client.config_set(*(text for pair in before.items() for text in pair))
    assert status == 1
    assert (found["redis eviction"]["state"], found["redis eviction"]["found"]) == ("fail", "allkeys-lru")
    assert found["redis persistence"]["state"] == "warn"


async def test_a_user_of_mongodb_who_may_not_follow_changes_is_found(tmp_path: Path) -> None:
    actions = ["find", "insert", "update", "remove", "createIndex", "listCollections", "listIndexes"]
    privileges = [{"resource": {"db": "vigil", "collection": ""}, "actions": actions}]
    async with EmbeddedServices(tmp_path) as urls:
        with MongoClient[Any](urls.mongo_url) as client:
            client["vigil"].command("createRole", "few", privileges=privileges, roles=[])
            client["vigil"].command("createUser", "ada", pwd="sesame", roles=["few"])
        address = urls.mongo_url.partition("@")[2].partition("/")[0]
        installation = Installation(
            ServiceUrls(f"mongodb://ada:sesame@{address}/?authSource=vigil&directConnection=true", urls.redis_url)
        )
        status, found = await findings(installation, VIGIL_MONGO_DATABASE="vigil")
    assert status == 1
    assert [name for name, each in found.items() if each["state"] == "fail"] == ["facts"]
    assert found["facts"]["advice"] == "give its user the role readWrite on the database"
