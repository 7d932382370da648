"""Proof required to follow a registration's link: none in the browser that registered, a password in any other.

Threat: an attacker registers a victim's address, and the victim, or software that scans their mail, follows the
link. That would verify an account with the attacker's password or provider login. So the link alone is enough only
in the browser that registered, which is recognised by a secret it was given then. In any other browser, the owner
enters the password chosen at the registration, or chooses a new one, which discards all other data of the
registration.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auth.stores.one_time_tokens import secret_digest

SECRET_BYTES = 32


class LinkRequirement(StrEnum):
    """The proof that is required in addition to the link."""

    NOTHING = "nothing"
    # The one chosen at the registration, or a new one.
    PASSWORD = "password"  # noqa: S105 - a kind of proof
    # Registered through a provider, so there is no password to ask for.
    NEW_PASSWORD = "new_password"  # noqa: S105


@dataclass(frozen=True, slots=True)
class LinkProof:
    """The proof given with a link: the browser's secret, and a password."""

    browser: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)
    new_password: str | None = field(default=None, repr=False)


def new_browser_secret() -> str:
    """Generate the secret by which a registering browser is recognised."""
    return secrets.token_urlsafe(SECRET_BYTES)


def browser_digest(secret: str) -> str:
    """Return the digest of a browser secret, which is stored with the registration."""
    return secret_digest(secret).hex()


def link_requirement(registration: Mapping[str, str | None], browser: str) -> LinkRequirement:
    """Return the proof that a link requires in a browser with this secret. Pure.

    A link requested from elsewhere (`anew`) requires none, because it carries no data of a stranger.
    """
    known = registration.get("browser") or ""
    if registration["anew"] or (browser and hmac.compare_digest(known, browser_digest(browser))):
        return LinkRequirement.NOTHING
    return LinkRequirement.PASSWORD if registration["passwordHash"] is not None else LinkRequirement.NEW_PASSWORD
