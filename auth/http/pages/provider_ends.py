"""The end of a visit to a provider, in words for a person, used if there is no demo or application page.

The query is that of the redirects in provider_visits.py. Anyone can write such a query, so none of it is shown.
"""

from dataclasses import dataclass

from multidict import MultiMapping

from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    EmailNotVerified,
    InvalidToken,
    ProviderDenied,
    ProviderFailed,
    RateLimited,
    SessionLimitReached,
    SessionRevoked,
    Unavailable,
)

SENTENCES: dict[type[AuthError], str] = {
    ProviderDenied: "You cancelled at the provider. Nothing was changed.",
    ProviderFailed: "The provider's answer could not be verified. Try again, or use another login method.",
    Unavailable: "The provider is not responding. Try again later, or use another login method.",
    InvalidToken: "The login took too long, or was started in another browser. Try again.",
    Conflict: "An account with this address or login already exists. Log in to it, and link the provider there.",
    EmailNotVerified: "Confirm your e-mail address first: a link was sent to you.",
    AccountLocked: "This account is locked.",
    SessionLimitReached: "You are logged in on the maximum number of devices. Log out on one of them first.",
    RateLimited: "Too many attempts. Try again in a few minutes.",
    SessionRevoked: "The session that started this has ended. Log in again.",
}
BY_CODE = {kind.code: (kind(), sentence) for kind, sentence in SENTENCES.items()}
UNKNOWN = (ProviderFailed(), SENTENCES[ProviderFailed])


@dataclass(frozen=True, slots=True)
class End:
    """How a visit ended: heading and sentence of the page, and the error that ended it, if any."""

    heading: str
    text: str
    error: AuthError | None = None


def provider_end(query: MultiMapping[str]) -> End | None:
    """Return the end of the visit that `query` is about; None if it is about none."""
    if query.get("linked", "0") != "0":
        return End("The login is linked", "You can now log in with it. You can close this page.")
    if "linked" in query:
        heading, code = "The login is not linked", query.get("code", "")
    elif "login" in query:
        heading, code = "You are not logged in", query["login"]
    else:
        return None
    error, sentence = BY_CODE.get(code, UNKNOWN)
    return End(heading, sentence, error)
