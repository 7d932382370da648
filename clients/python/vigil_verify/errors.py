"""Why a request is refused: codes and statuses of Vigil's protocol, section 1."""


class VerificationError(Exception):
    """Base of all refusals. `code` and `status` are for the response; the message is for people."""

    code = "invalid_token"
    status = 401
    message = "The access token is not valid."

    def __init__(self) -> None:
        super().__init__(self.message)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        if self.status != 401:
            return {"Retry-After": "1"}
        return {"WWW-Authenticate": "Bearer" if self.code == "missing_token" else 'Bearer error="invalid_token"'}

    @property
    def body(self) -> dict[str, object]:
        """The response as JSON."""
        return {"success": False, "code": self.code, "message": self.message}


class MissingToken(VerificationError):
    """No token was sent."""

    code = "missing_token"
    message = "An access token is required, as a bearer token."


class InvalidToken(VerificationError):
    """Not an access token of this Vigil for this audience."""


class TokenExpired(VerificationError):
    """A genuine token, which has expired: the client refreshes it."""

    code = "token_expired"
    message = "The access token has expired."


class SessionRevoked(VerificationError):
    """A genuine token, whose session was ended: the user has to log in again."""

    code = "session_revoked"
    message = "The session was ended."


class Unavailable(VerificationError):
    """Whether the token is valid cannot be told now: the client is to retry, and is not logged out."""

    code = "unavailable"
    status = 503
    message = "Access tokens cannot be verified at the moment."
