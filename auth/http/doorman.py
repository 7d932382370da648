"""What the live socket's gateway asks of the HTTP side of a handshake, so that both read it alike."""

from collections.abc import Sequence

from aiohttp import web

from auth.http.client_ip import Network
from auth.http.context import read_client
from auth.http.cookies import ACCESS_COOKIE
from auth.models import Client


class Doorman:
    """Reads who is at the door off the handshake's request. Decides nothing."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted_proxies = trusted_proxies

    def client(self, request: web.BaseRequest) -> Client:
        """Where the request comes from, behind the trusted proxies."""
        return read_client(request, self._trusted_proxies)

    def access_cookie(self, request: web.BaseRequest) -> str | None:
        """The access token in its cookie, if any."""
        return request.cookies.get(ACCESS_COOKIE) or None
