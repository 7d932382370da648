"""AuthError and its subclasses: the error responses of the protocol.

`code` is stable and machine-readable; `message` is safe to show to anyone. Internal details (driver messages,
which check failed) belong in the log with the request id, never in the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field of a request: its dotted path and a human-readable message."""

    field: str
    message: str


class StartRefused(Exception):
    """A command cannot run with the current configuration. The message is one line for the operator."""


class AuthError(Exception):
    """An error with a code, an HTTP status and a message that is safe to show.

    `retryable` tells a live socket whether retrying with the same credentials can succeed;
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


class InternalError(AuthError):
    """A server defect. It does not affect the caller's login; the request may be repeated."""

    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 2) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class InvalidJson(AuthError):
    code, status = "invalid_json", 400
    default_message = "The body is not valid JSON."


class InvalidRequest(AuthError):
    """A field is missing, unknown, or has a wrong type or value; `errors` lists them."""

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


class AddressTooLong(AuthError):
    code, status = "uri_too_long", 414
    default_message = "The request URL is longer than 24 KiB."


class HeadersTooLarge(AuthError):
    code, status = "headers_too_large", 431
    default_message = "The request headers, including cookies, are larger than 32 KiB."


class ExpectationFailed(AuthError):
    code, status = "expectation_failed", 417
    default_message = "The only Expect header that is supported is 100-continue."


class NotFound(AuthError):
    code, status = "not_found", 404
    default_message = "Not found."


class MethodNotAllowed(AuthError):
    code, status = "method_not_allowed", 405
    default_message = "This path does not support that method."


class MissingToken(AuthError):
    code, status = "missing_token", 401
    default_message = "An access token is required."


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
    default_message = "Wrong e-mail address or password."


class PasswordRequired(AuthError):
    """A registration link was opened in a different browser than the one that registered."""

    code, status = "password_required", 401
    default_message = "Enter the password chosen at registration, or choose a new one."


class EmailNotVerified(AuthError):
    code, status = "email_not_verified", 403
    default_message = "Confirm your e-mail address first: the link is in your mailbox."


class MfaRequired(AuthError):
    code, status = "mfa_required", 403
    default_message = "Finish two-step verification first."


class InvalidCode(AuthError):
    code, status = "invalid_code", 401
    default_message = "This code is wrong, already used, or expired."


class StepUpRequired(AuthError):
    """The login is too old or too weak for the operation (RFC 9470, section 3).

    `acr` is the required kind of proof, `max_age` its maximum age in seconds, `methods` the methods available
    to the caller.
    """

    code, status = "step_up_required", 401
    default_message = "Confirm your identity to continue."

    def __init__(self, *, acr: str, max_age: int, methods: Sequence[str]) -> None:
        super().__init__()
        self.acr = acr
        self.max_age = max_age
        self.methods = tuple(methods)


class AccountLocked(AuthError):
    code, status = "account_locked", 403
    default_message = "This account is locked. Contact the administrator of this service."


class ProviderDenied(AuthError):
    """The user declined at the provider, or the provider refused the user (RFC 6749, section 4.1.2.1)."""

    code, status = "access_denied", 403
    default_message = "The provider refused the login, or you cancelled it."


class ProviderFailed(AuthError):
    """The provider's response is invalid. The details are logged."""

    code, status = "provider_failed", 502
    default_message = "The provider's response is not valid. Try again, or log in another way."


class SessionLimitReached(AuthError):
    code, status = "session_limit_reached", 403
    default_message = "You are logged in on the maximum number of devices. Log out on one of them first."


class Conflict(AuthError):
    code, status = "conflict", 409
    default_message = "This is already in use."


class Forbidden(AuthError):
    code, status = "forbidden", 403
    default_message = "You are not allowed to do that."


class CsrfFailed(AuthError):
    code, status = "csrf_failed", 403
    default_message = "The X-CSRF-Token header does not match this session."


class OriginNotAllowed(AuthError):
    code, status = "origin_not_allowed", 403
    default_message = "This origin is not allowed."


class RateLimited(AuthError):
    code, status, retryable = "rate_limited", 429, True
    default_message = "Too many requests. Try again later."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 1) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class TooManySockets(AuthError):
    """The user has the maximum number of sockets open. None is closed to make room for a new one."""

    code, status, retryable = "too_many_sockets", 429, True
    default_message = "Too many connections are open for this account. Close some of them."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 60) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class Unavailable(AuthError):
    """A store is down. The caller's session is not affected; the request should be repeated."""

    code, status, retryable = "unavailable", 503, True
    default_message = "The service is temporarily unavailable. You are not logged out; try again."

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 2) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
