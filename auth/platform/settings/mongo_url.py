"""Options of a MongoDB URL that would break a promise of Vigil, and why."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

# Option in lower case: the values accepted, and what another one would break.
_REQUIRED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "readpreference": (("primary",), "a secondary may not know yet that a session was revoked"),
    "w": (("majority",), "a write that a majority does not have is lost if the primary fails"),
    "journal": (("true",), "a write that is not in the journal is lost in a power failure"),
    "readconcernlevel": (
        ("local", "majority"),
        "other levels return outdated documents, or are refused by writes",
    ),
    "tlsinsecure": (("false",), "anybody on the way could read and change the data; use tlsCAFile"),
    "tlsallowinvalidcertificates": (
        ("false",),
        "anybody on the way could read and change the data; use tlsCAFile",
    ),
    "tlsallowinvalidhostnames": (("false",), "anybody on the way could read and change the data; use tlsCAFile"),
}
_NAMES = {
    "readpreference": "readPreference",
    "readconcernlevel": "readConcernLevel",
    "tlsinsecure": "tlsInsecure",
    "tlsallowinvalidcertificates": "tlsAllowInvalidCertificates",
    "tlsallowinvalidhostnames": "tlsAllowInvalidHostnames",
}


def check_promises(url: SecretStr) -> SecretStr:
    """Return the URL. Raises `ValueError`, without user and password, for an option that breaks a promise."""
    try:
        query = urlsplit(url.get_secret_value()).query
    except ValueError:
        return url  # refused when it is used
    for option, value in parse_qsl(query):
        accepted, reason = _REQUIRED.get(option.lower(), ((value.lower(),), ""))
        if value.lower() not in accepted:
            name = _NAMES.get(option.lower(), option.lower())
            raise ValueError(f"{name} must be {' or '.join(accepted)}: {reason}")
    return url
