"""Verifies Vigil's access tokens in a service, and refuses revoked sessions within a second.

`Verifier` is all that a program needs; `starlette` (also for FastAPI), `aiohttp` and `django` protect the routes
of these frameworks with it.
"""

from vigil_verify.errors import (
    InvalidToken,
    MissingToken,
    SessionRevoked,
    TokenExpired,
    Unavailable,
    VerificationError,
)
from vigil_verify.tokens import Claims
from vigil_verify.verifier import Health, Verifier

__all__ = [
    "Claims",
    "Health",
    "InvalidToken",
    "MissingToken",
    "SessionRevoked",
    "TokenExpired",
    "Unavailable",
    "VerificationError",
    "Verifier",
]
