"""The request that opened a connection, as far as the live side looks at it."""

from dataclasses import dataclass
from typing import Any, Protocol

from auth.models import Client


class Doorman(Protocol):
    """What the gateway needs to know of the HTTP side of a handshake."""

    def client(self, request: Any) -> Client:
        """Where the request comes from."""

    def access_cookie(self, request: Any) -> str | None:
        """The access token in its cookie, if any."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is kept of the request that opened a connection."""

    client: Client
    origin: str | None
    access_cookie: str | None
