"""Errors for requests rejected before they reach the application: too large heads and malformed HTTP."""

from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from auth.core.errors import AddressTooLong, AuthError, HeadersTooLarge, InternalError, InvalidRequest

# Total of all header names and values of one request; a single Cookie header may have this size.
MAX_HEADERS_BYTES = 32 * 1024
# Request target. A provider's callback carries a code of up to 16 KiB in it (auth/login/providers/visits.py).
MAX_ADDRESS_BYTES = 24 * 1024
# Bytes buffered of a request with incomplete headers: headers, separators and preceding data.
MAX_PART_BYTES = 80 * 1024
# Parser limits, above the limits enforced: an Origin header after an oversized target or field is still parsed, so
# that the refusal gets CORS headers. Not higher, because trailer fields after a chunked body are buffered too.
MAX_PARSED_ADDRESS_BYTES = 40 * 1024
MAX_PARSED_FIELD_BYTES = 48 * 1024


class Refused(Exception):
    """A request with a too large head: the error, and the request's Origin if known."""

    def __init__(self, error: AuthError, origin: str | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.origin = origin


def too_large(message: RawRequestMessage) -> AuthError | None:
    """Return the error for a too large request head; None if it is within the limits."""
    if len(message.path.encode(errors="surrogateescape")) > MAX_ADDRESS_BYTES:
        return AddressTooLong()
    if sum(len(name) + len(value) for name, value in message.raw_headers) > MAX_HEADERS_BYTES:
        return HeadersTooLarge()
    return None


def refusal_of(status: int, exc: BaseException | None) -> AuthError:
    """Map an exception of the parser, or of a handler outside our middlewares, to an error response."""
    if isinstance(exc, AddressTooLong | HeadersTooLarge):
        return exc
    if isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
        return HeadersTooLarge()
    if isinstance(exc, LineTooLong):
        return AddressTooLong() if exc.args[1] == MAX_PARSED_ADDRESS_BYTES else HeadersTooLarge()
    return InvalidRequest("This is not a valid HTTP request.") if status < 500 else InternalError()
