"""A backend of an application: calls the server API with a server key."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from support.clients import Answer
from support.commands import run_command
from support.nodes import Installation
from support.waiting import eventually


def create_key(installation: Installation, *scopes: str, name: str = "a backend", days: int | None = None) -> str:
    """Create a key with the operator's command; return its text."""
    until = () if days is None else ("--expires-days", str(days))
    done = run_command(
        "server-keys", "create", name, "--scopes", ",".join(scopes), *until, environ=installation.environ()
    )
    assert done.status == 0, done
    return done.out.strip()


@dataclass
class Backend:
    """Calls one node with one key."""

    url: str
    key: str | None
    http: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        async with self.http.request(
            method, f"{self.url}/api/server{path}", json=body, headers=sent | (headers or {})
        ) as answer:
            return Answer(answer.status, await answer.json(), answer.headers)

    async def add_member(self, room: str, user_id: str) -> None:
        """Add a user to a room; repeat it while a node is too busy to answer in time."""

        async def added() -> bool:
            answer = await self.call("POST", f"/rooms/{room}/members", {"userId": user_id})
            assert answer.status in {200, 503}, answer.body
            return answer.status == 200

        await eventually(added, "the user is a member", timeout=30)

    def at(self, url: str) -> "Backend":
        """The same backend at another node."""
        return Backend(url, self.key, self.http)
