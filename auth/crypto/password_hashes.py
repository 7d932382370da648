"""Password hashes made elsewhere: which ones are accepted. Argon2 in PHC form, within bounds of its cost.

The upper bounds keep a hash from costing a login more memory or time than the thread pool is made for
(passwords.py). The lower ones keep out hashes that are quickly guessed if the database is stolen: until its first
login an account keeps the hash that was imported.
"""

import re

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError

from auth.core.errors import FieldError, InvalidRequest

_B64 = "[A-Za-z0-9+/]"
# Salt of 8 to 48 bytes, hash of 16 to 64.
_PHC = re.compile(
    rf"\$argon2(?:id|i|d)\$v=19\$m=\d{{1,7}},t=\d{{1,3}},p=\d{{1,2}}\${_B64}{{11,64}}\${_B64}{{22,86}}", re.ASCII
)
MAX_MEMORY_KIB = 256 * 1024
MAX_TIME_COST = 16
MAX_LANES = 16
# Work is proportional to memory times passes: at most this multiple of our own, 64 MiB times 3.
MAX_WORK = 4 * 64 * 1024 * 3
# The least memory, and the least work, of the settings that OWASP's Password Storage Cheat Sheet lists as equal:
# m=7168, t=5, p=1.
OWASP_LEAST_MEMORY_KIB, OWASP_LEAST_WORK = 7 * 1024, 5 * 7 * 1024


def check_password_hash(text: str) -> None:
    """Raise `InvalidRequest`, which says what is accepted, unless `text` is a hash that a login can verify."""
    if _PHC.fullmatch(text) is None:
        raise _refused(
            "Only Argon2 hashes in PHC form, version 19, are accepted: $argon2id$v=19$m=…,t=…,p=…$salt$hash."
        )
    try:
        found = extract_parameters(text)
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
        raise _refused(
            f"This hash is too easy to guess: at least m={OWASP_LEAST_MEMORY_KIB}, and m times t at least "
            f"{OWASP_LEAST_WORK}. Create the account without it; its user then sets a password by mail."
        )
    if found.memory_cost < 8 * found.parallelism or not found.time_cost or not found.parallelism:
        raise _refused("This is not a valid Argon2 hash.")  # RFC 9106, section 3.1


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("passwordHash", why)])
