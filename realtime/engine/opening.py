"""The WebSocket opening handshake: validation of the request, and the response (RFC 6455, section 4.2)."""

import base64
import binascii
import hashlib
import re

from aiohttp import web
from aiohttp.http import WS_KEY, HttpVersion11
from multidict import MultiMapping

from auth.platform.header_lists import members

# The only version of the protocol (RFC 6455, section 4.1, 9).
VERSION_HEADER, VERSION = "Sec-WebSocket-Version", "13"
KEY_HEADER = "Sec-WebSocket-Key"
# RFC 9110, section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


class Upgraded(web.StreamResponse):
    """Returned by a handler after it has answered an upgrade itself; the connection is no longer HTTP."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the response has been sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: an upgrade has no end of body."""


def switching(key: str, protocol: str | None = None) -> bytes:
    """The response `101 Switching Protocols` (RFC 6455, section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + WS_KEY).digest())  # noqa: S324 - RFC 6455, 4.2.2
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol is not None else ""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n%sServer: vigil\r\n\r\n" % (accept, chosen.encode())
    )


def upgrade_key(request: web.BaseRequest) -> str | None:
    """The `Sec-WebSocket-Key` of a valid upgrade request (RFC 6455, section 4.2.1), else None."""
    headers = request.headers
    # RFC 9110, section 7.8: an Upgrade in HTTP/1.0 is ignored.
    if request.method != "GET" or request.version < HttpVersion11 or headers.get(VERSION_HEADER) != VERSION:
        return None
    if any(len(headers.getall(name, ())) != 1 for name in (VERSION_HEADER, KEY_HEADER)):
        return None
    for name, wanted in (("Connection", "upgrade"), ("Upgrade", "websocket")):
        if wanted not in (member.lower() for member in members(headers, name)):
            return None
    if offered_protocols(headers) is None:
        return None
    key = headers[KEY_HEADER].strip()
    try:
        return key if len(base64.b64decode(key, validate=True)) == 16 else None
    except (binascii.Error, ValueError):
        return None


def offered_protocols(headers: MultiMapping[str]) -> list[str] | None:
    """The subprotocols a client offers; None for an invalid list (RFC 6455, section 4.1, 10)."""
    if "Sec-WebSocket-Protocol" not in headers:
        return []
    offered = members(headers, "Sec-WebSocket-Protocol")
    is_list = offered and all(map(TOKEN.fullmatch, offered)) and len(set(offered)) == len(offered)
    return offered if is_list else None
