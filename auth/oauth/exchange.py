"""The two calls that every provider takes: a code for a token, and a token for what it opens."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import structlog

from auth.errors import InvalidToken, ProviderFailed, Unavailable
from auth.oauth.flow import Proofs
from auth.oauth.provider import Reply, Web
from auth.oauth.settings import ProviderConfig

log = structlog.get_logger()

JSON = {"Accept": "application/json"}
MAX_ACCESS_TOKEN = 8192
# It goes into a header of ours.
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
# A code that was used, is over, or is another client's (RFC 6749, section 5.2); GitHub has a word of its own.
CODE_IS_OVER = frozenset({"invalid_grant", "bad_verification_code"})


async def redeem(
    web: Web,
    config: ProviderConfig,
    *,
    endpoint: str,
    code: str,
    proofs: Proofs,
    redirect_uri: str,
    in_header: bool,
) -> dict[str, Any]:
    """Trade a code for tokens, with the client's secret and the PKCE verifier (RFC 6749, 4.1.3; RFC 7636, 4.5).

    `in_header`: how the client names itself, in the header or in the form (RFC 6749, 2.3.1). Raises `InvalidToken`
    when the code is over, `Unavailable` or `ProviderFailed`.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": proofs.code_verifier,
    }
    headers = dict(JSON)
    secret = config.client_secret.get_secret_value()
    if in_header:
        headers["Authorization"] = basic(config.client_id, secret)
    else:
        form |= {"client_id": config.client_id, "client_secret": secret}
    reply = await web.post(endpoint, form=form, headers=headers)
    tokens = object_of(reply, config, what="token")
    token = tokens.get("access_token")
    if not isinstance(token, str) or len(token) > MAX_ACCESS_TOKEN or _HEADER_TEXT.fullmatch(token) is None:
        raise failed(config, "token: no access token")
    return tokens


def json_of(reply: Reply, config: ProviderConfig, *, what: str) -> Any:
    """What a good reply says. Raises `InvalidToken`, `Unavailable` or `ProviderFailed` for another."""
    if reply.status >= 500 or reply.status == 429:
        raise unavailable(config, f"{what}: status {reply.status}")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise failed(config, f"{what}: status {reply.status}, no JSON") from None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, str) and error in CODE_IS_OVER:
        raise InvalidToken("This login is over. Begin again.")
    if reply.status != 200 or error is not None:
        raise failed(config, f"{what}: status {reply.status}, {error_code(error)}")
    return answer


def object_of(reply: Reply, config: ProviderConfig, *, what: str) -> dict[str, Any]:
    """What a good reply says, which has to be a JSON object. Raises as `json_of` does."""
    answer = json_of(reply, config, what=what)
    if not isinstance(answer, dict):
        raise failed(config, f"{what}: no JSON object")
    return answer


def basic(client_id: str, secret: str) -> str:
    """RFC 6749, section 2.3.1: both parts are form-encoded before they are joined."""
    return "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def error_code(error: object) -> str:
    """An error as it may be logged: the code, never the provider's text."""
    plain = isinstance(error, str) and len(error) <= 64 and error.replace("_", "").isalnum() and error.isascii()
    return str(error) if plain else "an error of its own"


def failed(config: ProviderConfig, reason: str) -> ProviderFailed:
    """The refusal, with the reason in the log."""
    log.warning("provider_failed", provider=config.provider_id, reason=reason)
    return ProviderFailed()


def unavailable(config: ProviderConfig, reason: str) -> Unavailable:
    """The outage, with the reason in the log."""
    log.warning("provider_unavailable", provider=config.provider_id, reason=reason)
    return Unavailable(f"{config.name} does not answer. Try again, or log in another way.")


def bearer(access_token: str) -> Mapping[str, str]:
    """RFC 6750, section 2.1."""
    return {**JSON, "Authorization": f"Bearer {access_token}"}
