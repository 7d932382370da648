"""A wrong setting stops the start: status 2, one clear line that names it, no traceback, no secret."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from support.commands import Ended, bare_environ, run_command, run_shipped_command
from support.nodes import SECRET, Installation, ServiceUrls, drop

# Setting, wrong value, and what the line must say besides: of each stage of a start some (all are in the unit
# tests of the settings).
WRONG = [
    ("VIGIL_PORT", "http", ""),
    ("VIGIL_HOST", "no.such.host.invalid", ""),
    ("VIGIL_HOST", "192.0.2.1", "cannot listen"),
    ("VIGIL_APPLICATION", "nothing.py:chat", ""),
    ("VIGIL_APPLICATION", "chat", ""),
    ("VIGIL_APPLICATION_URL", "https://app.example.org", "VIGIL_APPLICATION_URL_SECRET is required"),
    ("VIGIL_MONGO_URL", "localhost", ""),
    ("VIGIL_MONGO_URL", "mongodb://127.0.0.1:port/", ""),
    ("VIGIL_MONGO_URL", "mongodb://a:b:c@h/", ""),
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


BROKEN_APPLICATIONS = {
    "def chat(:": "SyntaxError",
    "import no_such_module_at_all": "no_such_module_at_all",
    "raise RuntimeError('two\\nlines, token=sesame-sesame')": "RuntimeError: two lines",
    "raise SystemExit(3)": "SystemExit: 3",
    "chat = 5": "no Application named 'chat'",
}


@pytest.mark.parametrize("code", BROKEN_APPLICATIONS)
def test_an_application_that_cannot_be_imported_is_one_line_with_its_error(
    services: ServiceUrls, tmp_path: Path, code: str
) -> None:
    (tmp_path / "app.py").write_text(code)
    application = f"{tmp_path}/app.py:chat"
    arguments = ("serve", "--workers", "2") if "Syntax" in BROKEN_APPLICATIONS[code] else ()
    ended = run_command(*arguments, environ=Installation(services).environ(VIGIL_APPLICATION=application))
    is_one_clear_line(ended)
    assert ended.err.startswith("vigil: VIGIL_APPLICATION is wrong: ")
    assert f"{tmp_path}/app.py" in ended.err
    assert BROKEN_APPLICATIONS[code] in ended.err
    assert "sesame" not in ended.err


def test_stores_that_refuse_us_are_named(services: ServiceUrls) -> None:
    mongo, redis = services.mongo.rpartition("@")[2], services.redis.rpartition("@")[2]
    wrong_user = f"mongodb://nobody:sesame@{mongo.partition('?')[0]}?directConnection=true"
    for name, url in (
        ("VIGIL_MONGO_URL", wrong_user),
        ("VIGIL_REDIS_URL", f"redis://:sesame@{redis}"),
        ("VIGIL_REDIS_URL", f"redis://{redis}"),
    ):
        installation = Installation(services, is_as_shipped=True)
        ended = run_command(environ=installation.environ(**{name: url}))
        is_one_clear_line(ended)
        assert ended.err.startswith(f"vigil: {name} is wrong: ")
        assert "sesame" not in ended.err
        drop(services, installation.name)


def test_a_made_secret_that_cannot_be_kept_is_named(services: ServiceUrls, tmp_path: Path) -> None:
    (tmp_path / "secret.key").mkdir()
    environ = bare_environ(VIGIL_REDIS_URL=services.redis, VIGIL_DATA_DIR=str(tmp_path), VIGIL_PORT="0")
    ended = run_command(environ=environ)
    is_one_clear_line(ended)
    assert "secret.key" in ended.err


def test_a_port_in_use_is_named(services: ServiceUrls) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        ended = run_command(environ=Installation(services).environ(VIGIL_PORT=port))
    is_one_clear_line(ended)
    assert f"127.0.0.1:{port}" in ended.err
    assert "in use" in ended.err


def test_the_wrong_secret_for_a_database_is_named_and_not_shown(services: ServiceUrls) -> None:
    installation = Installation(services, is_as_shipped=True)
    installation.start().stop()
    wrong = SECRET[::-1]
    for arguments in ((), ("serve", "--workers", "2")):
        ended = run_command(*arguments, environ=installation.environ(VIGIL_SECRET_KEY=wrong))
        is_one_clear_line(ended)
        assert "VIGIL_SECRET_KEY" in ended.err
        assert wrong not in ended.err
    with MongoClient[Any](services.mongo) as client:
        client.drop_database(installation.name)


@pytest.mark.parametrize(
    "arguments",
    [("fly",), ("serve", "--workers", "0"), ("serve", "--workers", "two"), ("grant", "a@example.org"), ("keys",)],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_status_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    ended = run_shipped_command(*arguments, environ=bare_environ())
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert ended.err.strip()
