"""Password hashes made elsewhere: which ones are accepted. Argon2 in PHC form, and those of foreign_hashes.py.

The upper bounds keep a hash from costing a login more memory or time than the thread pool is made for
(passwords.py). The lower ones keep out hashes that are quickly guessed if the database is stolen: until its first
login an account keeps the hash that was imported.
"""

import base64
import re

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError

from auth.core.errors import FieldError, InvalidRequest
from auth.crypto.foreign_hashes import UnusableHash, read_foreign_hash

_B64 = "([A-Za-z0-9+/]"
# Salt of 8 to 48 bytes, hash of 16 to 64. Numbers without zeros before them: the library verifies no others.
_PHC = re.compile(
    rf"\$argon2(?:id|i|d)\$v=19\$m=[1-9]\d{{0,6}},t=[1-9]\d{{0,2}},p=[1-9]\d?"
    rf"\${_B64}{{11,64}})\${_B64}{{22,86}})",
    re.ASCII,
)
MAX_MEMORY_KIB = 256 * 1024
MAX_TIME_COST = 16
MAX_LANES = 16
# Work is proportional to memory times passes: at most this multiple of our own, 64 MiB times 3.
MAX_WORK = 4 * 64 * 1024 * 3
# The least memory, and the least work, of the settings that OWASP's Password Storage Cheat Sheet lists as equal:
# m=7168, t=5, p=1.
OWASP_LEAST_MEMORY_KIB, OWASP_LEAST_WORK = 7 * 1024, 5 * 7 * 1024


FORMS = "Argon2, bcrypt, scrypt and PBKDF2 in the forms of docs/moving-in.md"
DJANGO_ARGON2 = "argon2$"
# The name of the scheme, as LDAP servers, Dovecot and Spring Security write it before a hash.
_SCHEME = re.compile(r"\{[A-Za-z0-9@_.-]{1,40}\}(?=\$)", re.ASCII)


def usable_password_hash(text: str) -> str:
    """The hash in the form in which it is stored.

    Raises `InvalidRequest`, which says what is accepted, unless a login can verify it.
    """
    if named := _SCHEME.match(text):
        text = text[named.end() :]
    if text.startswith(f"{DJANGO_ARGON2}argon2"):
        text = text.removeprefix(DJANGO_ARGON2.rstrip("$"))
    if text.startswith("$argon2"):
        _check_argon2(text)
        return text
    try:
        found = read_foreign_hash(text)
    except UnusableHash as why:
        raise _refused(str(why)) from None
    if found is None:
        raise _refused(f"This form of hash is not known. Accepted are {FORMS}.")
    if found.weakness is not None:
        raise _too_weak(found.weakness)
    return text


def _check_argon2(text: str) -> None:
    phc = _PHC.fullmatch(text)
    if phc is None:
        raise _refused("Argon2 hashes must be in PHC form, version 19: $argon2id$v=19$m=…,t=…,p=…$salt$hash.")
    try:
        found = extract_parameters(text)
        are_whole = all(_is_canonical(part) for part in phc.groups())
    except (InvalidHashError, ValueError):
        raise _refused("This is not a valid Argon2 hash.") from None
    work = found.memory_cost * found.time_cost
    costs = found.memory_cost, found.time_cost, found.parallelism
    limits = MAX_MEMORY_KIB, MAX_TIME_COST, MAX_LANES
    too_much = any(cost > most for cost, most in zip(costs, limits, strict=True))
    if too_much or work > MAX_WORK:
        raise _refused(
            f"This hash costs too much to verify: at most m={MAX_MEMORY_KIB}, t={MAX_TIME_COST}, p={MAX_LANES}, "
            f"and m times t at most {MAX_WORK}."
        )
    if found.memory_cost < OWASP_LEAST_MEMORY_KIB or work < OWASP_LEAST_WORK:
        raise _too_weak(f"at least m={OWASP_LEAST_MEMORY_KIB}, and m times t of at least {OWASP_LEAST_WORK}")
    if not are_whole or found.memory_cost < 8 * found.parallelism:
        raise _refused("This is not a valid Argon2 hash.")  # RFC 9106, section 3.1


def _is_canonical(text: str) -> bool:
    """Whether this is base64 without padding and stray bits. Raises `ValueError`."""
    return base64.b64encode(base64.b64decode(text + "=" * (-len(text) % 4))).decode().rstrip("=") == text


def _too_weak(needed: str) -> InvalidRequest:
    return _refused(
        f"This hash is too easy to guess: it needs {needed}. Create the account without it; its user then sets a "
        "password by mail."
    )


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("passwordHash", why)])
