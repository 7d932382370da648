"""An SMS webhook receiver, as an operator implements it from docs/phone.md."""

import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

SECRET = b"a secret of the operator's, 32 or more"


@dataclass
class Receiver:
    """Responds with the statuses in `first`, in order, then with `status`."""

    status: int = 204
    first: list[int] = field(default_factory=list)
    url: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    content_types: set[str] = field(default_factory=set)
    forged: int = 0
    asked: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.content_types.add(request.content_type)
        body = await request.read()
        if not is_from_vigil(SECRET, request.headers, body):
            self.forged += 1
            return web.Response(status=401)
        self.taken.append(json.loads(body))
        status = self.first.pop(0) if self.first else self.status
        return web.Response(status=status, headers={"Location": "/elsewhere"})


def is_from_vigil(secret: bytes, headers: Any, body: bytes) -> bool:
    """Verify the signature as described in docs/phone.md."""
    timestamp = headers["X-Vigil-Timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    wanted = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest("v1=" + wanted, headers["X-Vigil-Signature"])


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver at its `url`."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path}", made.take)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/send"))
        yield made
