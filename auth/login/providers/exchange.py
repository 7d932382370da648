"""Token requests to providers, and the parsing of their responses."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import structlog

from auth.core.errors import InvalidToken, ProviderFailed, Unavailable
from auth.login.providers.authorization_request import Proofs
from auth.login.providers.provider import Provider
from auth.platform.http_client import HttpClient, Reply
from auth.platform.settings.providers import ProviderConfig

log = structlog.get_logger()

JSON = {"Accept": "application/json"}
# Tokens with groups and roles have tens of kilobytes. The token is sent in a header of a later request.
MAX_ACCESS_TOKEN = 64 * 1024
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
# A code that was used, has expired or belongs to another client (RFC 6749, section 5.2); GitHub has its own value.
CODE_IS_OVER = frozenset({"invalid_grant", "bad_verification_code"})


async def redeem(
    web: HttpClient,
    config: ProviderConfig,
    *,
    endpoint: str,
    code: str,
    proofs: Proofs,
    redirect_uri: str,
    in_header: bool,
    in_form: bool,
) -> dict[str, Any]:
    """Exchange a code for tokens, with client secret and PKCE verifier (RFC 6749, 4.1.3; RFC 7636, 4.5).

    `in_header`, `in_form`: where the provider takes the client's secret (RFC 6749, 2.3.1). The header comes first;
    some providers do not decode it, and refuse a secret with special characters there. Raises `InvalidToken` for
    a code that is no longer valid, `Unavailable` or `ProviderFailed`.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": proofs.code_verifier,
    }
    secret = config.client_secret.get_secret_value()
    secret_form = {**form, "client_id": config.client_id, "client_secret": secret}
    if in_header:
        headers = {**JSON, "Authorization": basic(config.client_id, secret)}
        reply = await web.post(endpoint, form=form, headers=headers)
        if in_form and _is_encoded(config.client_id, secret) and _refuses_client(reply):
            reply = await web.post(endpoint, form=secret_form, headers=JSON)
    else:
        reply = await web.post(endpoint, form=secret_form, headers=JSON)
    tokens = object_of(reply, config, what="token")
    token = tokens.get("access_token")
    if not isinstance(token, str) or _HEADER_TEXT.fullmatch(token) is None:
        raise failed(config, "token: no access token")
    if len(token) > MAX_ACCESS_TOKEN:
        raise failed(config, "token: access token too long")
    return tokens


def json_of(reply: Reply, config: ProviderConfig, *, what: str) -> Any:
    """Return the JSON of a successful reply. Raises `InvalidToken`, `Unavailable` or `ProviderFailed`."""
    if reply.status >= 500 or reply.status == 429:
        raise unavailable(config, f"{what}: status {reply.status}")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise failed(config, f"{what}: status {reply.status}, no JSON") from None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, str) and error in CODE_IS_OVER:
        raise InvalidToken("This login has expired. Log in again.")
    if reply.status != 200 or error is not None:
        raise failed(config, f"{what}: status {reply.status}, {error_code(error)}")
    return answer


def object_of(reply: Reply, config: ProviderConfig, *, what: str) -> dict[str, Any]:
    """Return the JSON object of a successful reply. Raises like `json_of`."""
    answer = json_of(reply, config, what=what)
    if not isinstance(answer, dict):
        raise failed(config, f"{what}: no JSON object")
    return answer


def basic(client_id: str, secret: str) -> str:
    """Return the Basic credentials; both parts are form-encoded first (RFC 6749, section 2.3.1)."""
    return "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def _is_encoded(*parts: str) -> bool:
    """Whether `basic` changes a part."""
    return any(quote_plus(part) != part for part in parts)


def _refuses_client(reply: Reply) -> bool:
    """Whether the reply refuses the client itself, and thus leaves the code valid (RFC 6749, section 5.2)."""
    return reply.status == 401 or (reply.status == 400 and b'"invalid_client"' in reply.body)


def error_code(error: object) -> str:
    """Return an error for the log: its code, never the provider's text."""
    plain = isinstance(error, str) and len(error) <= 64 and error.replace("_", "").isalnum() and error.isascii()
    return str(error) if plain else "an error of its own"


def failed(provider: ProviderConfig | Provider, reason: str) -> ProviderFailed:
    """Log the reason and return the error."""
    log.warning("provider_failed", provider=provider.provider_id, reason=reason)
    return ProviderFailed()


def unavailable(config: ProviderConfig, reason: str) -> Unavailable:
    """Log the reason and return the error."""
    log.warning("provider_unavailable", provider=config.provider_id, reason=reason)
    return Unavailable(f"{config.name} is not responding. Try again, or log in another way.")


def bearer(access_token: str) -> Mapping[str, str]:
    """Return the headers for a bearer token (RFC 6750, section 2.1)."""
    return {**JSON, "Authorization": f"Bearer {access_token}"}
