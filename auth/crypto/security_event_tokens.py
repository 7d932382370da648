"""Security Event Tokens (RFC 8417) about ended sessions: CAEP `session-revoked`, signed like access tokens."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from auth.crypto.signing_keys import KeyRing, base64url

SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
# CAEP 1.0, section 2: who ended it. A user that is none of ours does not exist.
ENTITIES = {"user": "user", "admin": "admin", "system": "policy"}


def session_revoked_token(
    keys: KeyRing,
    *,
    issuer: str,
    audience: str,
    token_id: str,
    user_id: str,
    session_id: str,
    reason: str,
    by: str,
    ended_at: datetime,
    now: datetime,
) -> str:
    """Return the signed token. `by`: `user`, `admin` or `system`."""
    event: Mapping[str, Any] = {
        "event_timestamp": int(ended_at.timestamp()),
        "initiating_entity": ENTITIES.get(by, "system"),
        "reason_admin": {"en": reason},
    }
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": int(now.timestamp()),
        "jti": token_id,
        # RFC 9493, section 3.2.
        "sub_id": {
            "format": "complex",
            "user": {"format": "iss_sub", "iss": issuer, "sub": user_id},
            "session": {"format": "opaque", "id": session_id},
        },
        "events": {SESSION_REVOKED: event},
    }
    key = keys.current
    # RFC 8417, section 2.3: the type keeps it from being taken for an access token, and the claims do.
    header = base64url(orjson.dumps({"alg": "EdDSA", "kid": key.key_id, "typ": "secevent+jwt"}))
    signed = f"{header}.{base64url(orjson.dumps(claims))}"
    return f"{signed}.{base64url(key.private.sign(signed.encode()))}"
