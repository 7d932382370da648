"""An aiohttp service with a protected route."""

import asyncio

from aiohttp import web
from apps_common import verifier
from vigil_verify.aiohttp import CLAIMS, protected


@protected(verifier())
async def me(request: web.Request) -> web.Response:
    return web.json_response({"userId": request[CLAIMS].user_id})


async def serve() -> None:
    app = web.Application()
    app.router.add_get("/me", me)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("listening on", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(serve())
