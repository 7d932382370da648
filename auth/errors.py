"""The AuthError family: every refusal as a value of the protocol.

`code` is stable and for programs; `message` is safe to show to anybody. Anything that must not be shown
(driver text, which check failed) belongs in the log beside the request id, never in here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: a dotted path and a sentence for people."""

    field: str
    message: str


class AuthError(Exception):
    """A refusal with its code, its HTTP status and a message that is safe to show.

    `retryable` tells a live socket whether trying again with the same credentials can help;
    `retry_after_seconds` says when.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        self.message = message or self.default_message
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)


class InvalidJson(AuthError):
    code, status = "invalid_json", 400
    default_message = "The body is not valid JSON."


class InvalidRequest(AuthError):
    """A field is missing, unknown or of a wrong type or value; `errors` says which."""

    code, status = "invalid_request", 400
    default_message = "The request is not valid."

    def __init__(self, message: str | None = None, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class UnsupportedMediaType(AuthError):
    code, status = "unsupported_media_type", 415
    default_message = "Send the body as application/json."


class PayloadTooLarge(AuthError):
    code, status = "payload_too_large", 413
    default_message = "The body is larger than 64 KiB."


class NotFound(AuthError):
    code, status = "not_found", 404
    default_message = "There is nothing here."


class MethodNotAllowed(AuthError):
    code, status = "method_not_allowed", 405
    default_message = "This path does not take that method."


class MissingToken(AuthError):
    code, status = "missing_token", 401
    default_message = "An access token is needed."


class InvalidToken(AuthError):
    code, status = "invalid_token", 401
    default_message = "The token is not valid."


class TokenExpired(AuthError):
    code, status = "token_expired", 401
    default_message = "The access token has expired."


class SessionRevoked(AuthError):
    code, status = "session_revoked", 401
    default_message = "This session was ended."


class SessionExpired(AuthError):
    code, status = "session_expired", 401
    default_message = "This session has expired. Log in again."


class RefreshReused(AuthError):
    code, status = "refresh_reused", 401
    default_message = "This refresh token was used before. Log in again."


class InvalidCredentials(AuthError):
    code, status = "invalid_credentials", 401
    default_message = "The e-mail address or the password is wrong."


class EmailNotVerified(AuthError):
    code, status = "email_not_verified", 403
    default_message = "Confirm your e-mail address first: the link is in your mailbox."


class MfaRequired(AuthError):
    code, status = "mfa_required", 403
    default_message = "Finish the login with your second factor first."


class InvalidCode(AuthError):
    code, status = "invalid_code", 401
    default_message = "This code is wrong, was used before, or is not valid any more."


class StepUpRequired(AuthError):
    """The login is too old, or too weak, for what was asked (RFC 9470, section 3).

    `acr` says what kind of proof is asked for, `max_age` how many seconds old it may be, `methods` by which
    the caller can give it.
    """

    code, status = "step_up_required", 401
    default_message = "Prove once more that it is you."

    def __init__(self, *, acr: str, max_age: int, methods: Sequence[str]) -> None:
        super().__init__()
        self.acr = acr
        self.max_age = max_age
        self.methods = tuple(methods)


class AccountLocked(AuthError):
    code, status = "account_locked", 403
    default_message = "This account is locked. Ask whoever runs this service."


class ProviderDenied(AuthError):
    """The person said no at the provider, or the provider would not let them (RFC 6749, section 4.1.2.1)."""

    code, status = "access_denied", 403
    default_message = "The provider did not let you in, or you turned back."


class ProviderFailed(AuthError):
    """The provider's answer cannot be believed. What is wrong with it is for the log."""

    code, status = "provider_failed", 502
    default_message = "The provider's answer makes no sense. Try again, or log in another way."


class SessionLimitReached(AuthError):
    code, status = "session_limit_reached", 403
    default_message = "You are logged in on as many devices as are allowed. Log out on one of them first."


class Conflict(AuthError):
    code, status = "conflict", 409
    default_message = "This is in use already."


class Forbidden(AuthError):
    code, status = "forbidden", 403
    default_message = "You may not do that."


class CsrfFailed(AuthError):
    code, status = "csrf_failed", 403
    default_message = "The X-CSRF-Token header does not match this session."


class OriginNotAllowed(AuthError):
    code, status = "origin_not_allowed", 403
    default_message = "This origin is not allowed."


class RateLimited(AuthError):
    code, status, retryable = "rate_limited", 429, True
    default_message = "Too many requests. Wait a little."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 1) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class Unavailable(AuthError):
    """A store is down: the caller is not logged out and should repeat the request."""

    code, status, retryable = "unavailable", 503, True
    default_message = "The service is briefly unavailable. You are not logged out; try again."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 2) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
