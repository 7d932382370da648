"""The converters of docs/moving-in.md, run on an export of each system, make lines that are imported."""

import re
import subprocess
import sys
from collections.abc import Sequence

import orjson
import pytest
from support.nodes import ROOT

from auth.backends.users import new_user
from auth.core.clock import utc_now
from auth.core.views import parse
from auth.crypto.foreign_hashes import read_foreign_hash
from auth.http.schemas.user_import import ImportLine

PAGE = (ROOT / "docs/moving-in.md").read_text()
CONVERTERS = dict(re.findall(r"```python\n# (\w+)\n(.*?)```", PAGE, re.DOTALL))
# Those of the sample in Firebase's own repository (github.com/firebase/scrypt).
FIREBASE = (
    "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    "Bw==",
    "8",
    "14",
)
SYSTEMS = ("auth0", "firebase", "supabase", "keycloak", "django")


def converted(system: str, *arguments: str) -> Sequence[ImportLine]:
    export = (ROOT / f"tests/data/moving/{system}.json").read_bytes()
    command = [sys.executable, "-c", CONVERTERS[system], *arguments]
    done = subprocess.run(command, input=export, capture_output=True, check=True, timeout=60)
    return [parse(ImportLine, orjson.loads(line)) for line in done.stdout.splitlines()]


def test_every_converter_is_tested() -> None:
    assert set(CONVERTERS) == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_export_becomes_lines_that_the_import_takes(system: str) -> None:
    ada, grace = converted(system, *(FIREBASE if system == "firebase" else ()))
    users = [new_user(line.account.user, user_id="x", now=utc_now()) for line in (ada, grace)]
    assert [user.email for user in users] == ["ada@example.org", "grace@example.org"]
    assert users[0].password_hash is not None
    assert (users[0].email_verified_at is not None) is (system != "django")
    assert (ada.locked, grace.locked) == (False, system != "auth0")
    assert users[0].private_metadata is not None
    if system != "auth0":
        assert ada.created_at is not None
    if system == "firebase":
        found = read_foreign_hash(users[0].password_hash)
        assert found is not None
        assert found.matches("user1password")
        assert [(each.provider, each.subject) for each in grace.identities] == [("google", "1083")]
    if system == "django":
        assert (ada.roles, grace.roles, users[1].password_hash) == (["admin"], [], None)
