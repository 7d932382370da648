"""What a provider says of somebody, read with suspicion. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.accounts import MAX_EMAIL, MAX_NAME, printable

# OpenID Connect Core 1.0, section 2: `sub` is at most 255 ASCII characters.
MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Claims:
    """Who somebody is at a provider: `issuer` and `subject` together, and nothing else of it (ASVS 5.0, 10.5.2).

    `email_verified`: the provider says that the address is theirs.
    """

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    label: str = ""


def claims_of(issuer: str, subject: str, profile: Mapping[str, Any]) -> Claims:
    """The claims in an ID token or an answer of the userinfo endpoint; what is not of its type is left out."""
    email = _address(profile.get("email"))
    name = _text(profile.get("name"), MAX_NAME)
    said = profile.get("email_verified")
    return Claims(
        issuer=issuer,
        subject=subject,
        email=email,
        # Some say it in words; whatever else is there does not say that it is verified.
        email_verified=email is not None and (said is True or said == "true"),
        name=name,
        label=email or _text(profile.get("preferred_username"), MAX_NAME) or name or "",
    )


def is_subject(value: object) -> bool:
    """Whether `value` can be a `sub`."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT and value.isascii() and value.isprintable()


def _address(value: object) -> str | None:
    """An address as it stands: one that had to be cut or cleaned would be somebody else's."""
    whole = isinstance(value, str) and len(value) <= MAX_EMAIL and printable(value, MAX_EMAIL) == value
    return value if whole and isinstance(value, str) and value else None


def _text(value: object, limit: int) -> str | None:
    return printable(value, limit) or None if isinstance(value, str) and len(value) <= limit * 4 else None
