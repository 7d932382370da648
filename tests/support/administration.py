"""Creates an installation's first administrator with the operator's command."""

from support.clients import new_login
from support.commands import run_command
from support.nodes import Installation


def grant(installation: Installation, email: str, role: str) -> None:
    """Give an account a role."""
    done = run_command("grant", email, role, environ=installation.environ())
    assert done.status == 0, done


def first_administrator(installation: Installation, url: str) -> str:
    """Create an admin account; return its address."""
    email = str(new_login(url).data["user"]["email"])
    grant(installation, email, "admin")
    return email
