"""What a role lets somebody do, and which names are roles."""

import pytest

from auth.core.models import has_role
from auth.platform.settings.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("held", "role", "may"),
    [
        ((), "user", True),
        ((), "moderator", False),
        (("moderator",), "moderator", True),
        (("moderator",), "admin", False),
        (("admin",), "moderator", True),
        (("admin",), "teacher", True),
        (("teacher",), "moderator", False),
        (("Admin",), "admin", False),
    ],
)
def test_everybody_is_a_user_and_an_admin_may_what_any_role_may(
    held: tuple[str, ...], role: str, may: bool
) -> None:
    assert has_role(held, role) is may


def test_an_application_names_its_own() -> None:
    names = Settings.load({"VIGIL_ROLES": " teacher , admin,"}).administration.roles
    assert names == ("teacher", "admin")


@pytest.mark.parametrize(
    "wrong",
    ["moderator", "admin,user", "admin,Teacher", "admin,a b", "admin,admin", "admin,é", "admin," + "x" * 33,
     "admin," + ",".join(f"r{n}" for n in range(32))],
)  # fmt: skip
def test_roles_that_cannot_be_are_told_at_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="VIGIL_ROLES is wrong"):
        Settings.load({"VIGIL_ROLES": wrong})
