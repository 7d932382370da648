"""`server.py import`: accounts of another system, also when it is killed in the midst."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bcrypt
from support.clients import PASSWORD, Api
from support.commands import Ended, Running, run_command
from support.nodes import Installation, Node
from support.waiting import eventually

On = Callable[[Node], Api]
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()


def environ(installed: Installation) -> dict[str, str]:
    return installed.environ(
        VIGIL_OIDC_ACME_ISSUER="https://id.example.org",
        VIGIL_OIDC_ACME_CLIENT_ID="vigil",
        VIGIL_OIDC_ACME_CLIENT_SECRET="secret",
    )


async def import_file(installed: Installation, file: Path, *arguments: str) -> Ended:
    return await asyncio.to_thread(run_command, "import", str(file), *arguments, environ=environ(installed))


def write(file: Path, *lines: Mapping[str, Any] | bytes) -> Path:
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return file


def line(local_part: str, **more: Any) -> dict[str, Any]:
    return {"email": f"{local_part}@example.org", "emailVerified": True, **more}


async def test_imported_users_log_in_with_their_password_and_have_what_the_line_says(
    installed: Installation, database: Any, on: On, tmp_path: Path
) -> None:
    ada = line(
        "ada", name="Ada", username="ada", passwordHash=HASH, roles=["moderator"], metadata={"plan": "pro"},
        privateMetadata={"id": 7}, createdAt="2020-01-02T03:04:05Z",
        identities=[{"provider": "acme", "subject": "1"}],
    )  # fmt: skip
    file = write(tmp_path / "users.jsonl", ada, line("mallory", passwordHash=HASH, locked=True))
    dry = await import_file(installed, file, "--dry-run")
    assert (dry.status, dry.out.split(" in ")[0]) == (0, "would import 2 accounts"), dry
    assert database["users"].count_documents({}) == 0
    done = await import_file(installed, file)
    assert (done.status, done.out.split(" in ")[0]) == (0, "imported 2 accounts"), done
    assert "#" not in done.err, "the bar is for terminals"
    assert not (tmp_path / "users.jsonl.refused").exists()
    (event,) = database["audit_events"].find({"kind": "users_imported"})
    assert event["details"] == {"created": "2", "known": "0", "refused": "0", "withRoles": "1"}
    user = database["users"].find_one({"emailKey": "ada@example.org"})
    assert (user["roles"], user["createdAt"].year, user["username"]) == (["moderator"], 2020, "ada")
    identity = database["identities"].find_one({"userId": user["_id"]})
    assert (identity["issuer"], identity["subject"]) == ("https://id.example.org", "1")
    node = await asyncio.to_thread(installed.start)
    api = on(node)
    wrong = await api.call("POST", "/login", {"email": "ada@example.org", "password": "not hers at all"})
    assert wrong.code == "invalid_credentials"
    me = (await (await api.login("ada@example.org")).call("GET", "/me")).data["user"]
    assert (me["name"], me["roles"], me["metadata"]) == ("Ada", ["moderator"], {"plan": "pro"})
    rehashed = database["users"].find_one({"emailKey": "ada@example.org"})["passwordHash"]
    assert rehashed.startswith("$argon2id$")
    locked = await api.call("POST", "/login", {"email": "mallory@example.org", "password": PASSWORD})
    assert locked.code == "account_locked"
    assert (await import_file(installed, file)).out.endswith("already imported: 2\n")
    assert database["users"].find_one({"emailKey": "ada@example.org"})["passwordHash"] == rehashed


async def test_a_run_that_was_killed_is_continued_without_doubles_or_losses(
    installed: Installation, database: Any, tmp_path: Path
) -> None:
    people = 12_000
    lines = (line(f"u{n}", identities=[{"provider": "acme", "subject": str(n)}]) for n in range(people))
    file = write(tmp_path / "users.jsonl", *lines)
    killed = Running("import", str(file), environ=environ(installed))

    async def begun() -> bool:
        return bool(await asyncio.to_thread(database["users"].find_one))

    await eventually(begun, "the import stores accounts", timeout=60)
    killed.process.kill()
    await asyncio.to_thread(killed.process.wait, 30)
    assert 0 < database["users"].count_documents({}) < people
    again = await import_file(installed, file)
    assert again.status == 0, again
    assert database["users"].count_documents({}) == database["identities"].count_documents({}) == people
    owners = {each["userId"] for each in database["identities"].find({}, {"userId": 1})}
    assert owners == {each["_id"] for each in database["users"].find({}, {"_id": 1})}


async def test_refused_lines_are_reported_by_number_and_reason_and_the_others_are_imported(
    installed: Installation, database: Any, tmp_path: Path
) -> None:
    secret = "$2b$31$" + "s" * 53
    file = write(
        tmp_path / "users.jsonl",
        line("ada", username="ada"), b"", b"not json", b'"text"', b'{"email": "' + b"x" * 300_000 + b'"}',
        b'{"email": "\xff"}', line("x", passwordHash=secret), line("y", roles=["emperor"]),
        line("z", identities=[{"provider": "nobody", "subject": "1"}]), line("ADA"), line("b", username="ADA"),
        line("c", createdAt="2999-01-01T00:00:00Z"), line("d", surprise=1), {"email": "no address"},
        line("e", metadata={"a": "x" * 9000}), b"[" * 5000, line("grace"), line("grace"),
        line("f", identities=[{"provider": "acme", "subject": "1"}]),
        line("g", identities=[{"provider": "acme", "subject": "1"}]),
    )  # fmt: skip
    done = await import_file(installed, file)
    assert done.status == 1, done
    report = tmp_path / "users.jsonl.refused"
    assert report.stat().st_mode & 0o077 == 0
    reported = [json.loads(each) for each in report.read_text().splitlines()]
    refused = {each["line"]: each["errors"][0]["field"] for each in reported}
    assert refused == {
        3: "", 4: "", 5: "", 6: "", 7: "passwordHash", 8: "roles", 9: "identities", 10: "email", 11: "username",
        12: "createdAt", 13: "surprise", 14: "email", 15: "metadata", 16: "", 20: "identities",
    }  # fmt: skip
    assert secret not in report.read_text() + done.out + done.err
    assert "refused lines: 15" in done.out
    assert {each["emailKey"] for each in database["users"].find()} == {
        "ada@example.org", "grace@example.org", "f@example.org",
    }  # fmt: skip
    missing = await import_file(installed, tmp_path / "nothing.jsonl")
    assert (missing.status, "cannot use" in missing.err) == (1, True)


async def test_a_dry_run_finds_doubles_however_far_apart_they_are(installed: Installation, tmp_path: Path) -> None:
    first = line("ada", username="ada", identities=[{"provider": "acme", "subject": "1"}])
    others = (line(f"u{n}") for n in range(600))
    doubles = line("ADA"), line("b", username="Ada"), line("c", identities=first["identities"]), first
    file = write(tmp_path / "users.jsonl", first, *others, *doubles)
    dry = await import_file(installed, file, "--dry-run")
    real = await import_file(installed, file)
    for run in (dry, real):
        assert run.status == 1, run
        assert " 601 accounts" in run.out, run
        assert "refused lines: 3" in run.out, run
        assert "already imported: 1" in run.out, run


async def test_a_pipe_is_imported_like_a_file(installed: Installation, database: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "users"
    os.mkfifo(pipe)
    content = b"\n".join(json.dumps(line(f"u{n}")).encode() for n in range(1200))
    done, _ = await asyncio.gather(import_file(installed, pipe), asyncio.to_thread(pipe.write_bytes, content))
    assert (done.status, database["users"].count_documents({})) == (0, 1200), done


async def test_two_runs_at_once_import_every_line_once_and_refuse_none(
    installed: Installation, database: Any, tmp_path: Path
) -> None:
    people = 3000
    content = [line(f"u{n}", identities=[{"provider": "acme", "subject": str(n)}]) for n in range(people)]
    files = write(tmp_path / "a.jsonl", *content), write(tmp_path / "b.jsonl", *content)
    done = await asyncio.gather(*(import_file(installed, file) for file in files))
    assert [run.status for run in done] == [0, 0], done
    assert database["users"].count_documents({}) == database["identities"].count_documents({}) == people
