"""A wrong setting stops the start: status 2, one clear line that names it, no traceback, no secret."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from pymongo import MongoClient
from support.commands import Ended, bare_environ, run_command
from support.nodes import SECRET, Installation, ServiceUrls

# Setting, wrong value, and what the line must say besides: of each stage of a start some (all are in the unit
# tests of the settings).
WRONG = [
    ("VIGIL_PORT", "http", ""),
    ("VIGIL_HOST", "no.such.host.invalid", ""),
    ("VIGIL_HOST", "192.0.2.1", "cannot listen"),
    ("VIGIL_APPLICATION", "nothing.py:chat", ""),
    ("VIGIL_APPLICATION", "chat", ""),
    ("VIGIL_MONGO_URL", "localhost", ""),
    ("VIGIL_MONGO_URL", "mongodb://127.0.0.1:port/", ""),
    ("VIGIL_MONGO_URL", "mongodb://127.0.0.1:9/", ""),
    ("VIGIL_REDIS_URL", "localhost:6379", ""),
    ("VIGIL_REDIS_URL", "redis://127.0.0.1:port/", ""),
    ("VIGIL_SECRET_KEY", "short", "32 bytes"),
    ("VIGIL_SECRET_KEY", "", "required"),
    ("VIGIL_ACCESS_TOKEN_SECONDS", "0", ""),
    ("VIGIL_LIMIT_LOGIN", "often", "rate"),
    ("VIGIL_SMTP_URL", "http://mail.example.org", ""),
    ("VIGIL_COUNTRY_DATABASE", "/nowhere/countries.mmdb", ""),
    ("VIGIL_CITY_DATABASE", "/etc/hostname", ""),
]


def is_one_clear_line(ended: Ended) -> None:
    assert ended.status == 2, ended
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("vigil: ")
    assert "Traceback" not in ended.err


@pytest.fixture(scope="module")
def tried(services: ServiceUrls) -> Iterator[dict[int, Future[Ended]]]:
    """Every start of the table, some at a time: most of a start is Python reading its libraries."""
    environ = Installation(services).environ()
    with ThreadPoolExecutor(3) as starters:
        yield {
            number: starters.submit(run_command, environ=environ | {"VIGIL_DEV_OUTBOX": "off", name: value})
            for number, (name, value, _) in enumerate(WRONG)
        }


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{name}={value}" for name, value, _ in WRONG])
def test_a_wrong_value_is_named_in_one_line(tried: dict[int, Future[Ended]], number: int) -> None:
    name, _, words = WRONG[number]
    ended = tried[number].result(50)
    is_one_clear_line(ended)
    assert (name in ended.err) or (words and words in ended.err), ended.err
    assert words in ended.err


def test_a_port_in_use_is_named(services: ServiceUrls) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        ended = run_command(environ=Installation(services).environ(VIGIL_PORT=port))
    is_one_clear_line(ended)
    assert f"127.0.0.1:{port}" in ended.err
    assert "in use" in ended.err


def test_the_wrong_secret_for_a_database_is_named_and_not_shown(services: ServiceUrls) -> None:
    installation = Installation(services)
    installation.start().stop()
    wrong = SECRET[::-1]
    for arguments in ((), ("serve", "--workers", "2")):
        ended = run_command(*arguments, environ=installation.environ(VIGIL_SECRET_KEY=wrong))
        is_one_clear_line(ended)
        assert "VIGIL_SECRET_KEY" in ended.err
        assert wrong not in ended.err
    with MongoClient(services.mongo) as client:
        client.drop_database(installation.name)


@pytest.mark.parametrize(
    "arguments",
    [("fly",), ("serve", "--workers", "0"), ("serve", "--workers", "two"), ("grant", "a@example.org"), ("keys",)],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_status_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    ended = run_command(*arguments, environ=bare_environ())
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert ended.err.strip()
