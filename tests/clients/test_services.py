"""Services of each framework refuse a revoked session within a second, without a call for each request.

One scenario for all, because each of them needs a server of its own, and both nodes of Vigil are killed in it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from support.backends import create_key
from support.clients import Api, Login
from support.commands import node_version
from support.nodes import Installation, Node
from support.waiting import eventually

# Longer than a busy machine delays the stream of a node that lives.
STALE_AFTER = 8.0
APPS = (
    ("fastapi_app.py", "/me", "/starlette"),
    ("aiohttp_app.py", "/me"),
    ("django_app.py", "/me", "/async"),
    ("express_app.mjs", "/me", "/plain"),
    ("fastify_app.mjs", "/me"),
    # Not with the Node.js of Debian 12, which is too old for Next.js.
    *([("next", "/me", "/api/me")] if node_version() >= (20, 9) else []),
)


class Services:
    """All of them, asked with one token."""

    def __init__(self, services: list[Any], http: aiohttp.ClientSession) -> None:
        self._routes = [service.url + route for service in services for route in service.routes]
        self._http = http

    async def answers(self, authorization: str | None) -> dict[str, tuple[int, Any]]:
        """Status and body of each route."""
        headers = {} if authorization is None else {"Authorization": authorization}

        async def ask(url: str) -> tuple[int, Any]:
            async with self._http.get(url, headers=headers) as answer:
                body = await answer.json()
                if answer.status != 200:
                    name = "Retry-After" if answer.status == 503 else "WWW-Authenticate"
                    assert name in answer.headers
                return answer.status, body.get("detail", body)  # FastAPI puts it into `detail`

        return dict(zip(self._routes, await asyncio.gather(*map(ask, self._routes)), strict=True))

    async def all_answer(self, login: Login, status: int, code: str | None = None) -> None:
        """Wait until every route answers so."""
        last: dict[str, Any] = {}

        async def so() -> bool:
            last.update(await self.answers(f"Bearer {login.access_token}"))
            return all((each, body.get("code")) == (status, code) for each, body in last.values())

        try:
            await eventually(so, "", timeout=45, every=0.1)
        except AssertionError:
            raise AssertionError(f"not {status} {code}: {last}") from None


async def test_services_hear_of_the_ends_of_sessions_and_outlive_a_node(
    installation: Installation,
    start_node: Callable[..., Node],
    start_service: Any,
    http: aiohttp.ClientSession,
) -> None:
    nodes = await asyncio.gather(*(asyncio.to_thread(start_node) for _ in range(2)))
    settings = {
        "ISSUER": "http://127.0.0.1:8000",
        "SERVER_KEY": create_key(installation, "revocations"),
        "URLS": ",".join(node.url for node in nodes),
        "STALE_AFTER": str(STALE_AFTER),
    }
    services = Services(
        list(await asyncio.gather(*(start_service(file, *routes, **settings) for file, *routes in APPS))), http
    )
    apis = [Api(node.url, http) for node in nodes]
    email = await apis[0].register()
    first, second, third, fourth = [await api.login(email) for api in (*apis, *apis)]

    for told, code in ((None, "missing_token"), ("Basic x", "missing_token"), ("Bearer a.b.c", "invalid_token")):
        assert {(s, b["code"]) for s, b in (await services.answers(told)).values()} == {(401, code)}
    await services.all_answer(first, 200)
    assert {b["userId"] for _, b in (await services.answers(f"Bearer {first.access_token}")).values()} == {
        first.user_id
    }

    # Ended at the node that no service follows.
    await second.call("POST", "/logout")
    await services.all_answer(second, 401, "session_revoked")
    await services.all_answer(first, 200)

    nodes[0].kill()
    assert (await fourth.call("DELETE", f"/sessions/{third.session_id}")).status == 200
    await services.all_answer(third, 401, "session_revoked")
    await services.all_answer(second, 401, "session_revoked")
    await services.all_answer(fourth, 200)

    nodes[1].kill()
    await services.all_answer(fourth, 503, "unavailable")
    await services.all_answer(third, 401, "session_revoked")
