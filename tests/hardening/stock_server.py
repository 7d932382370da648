"""python-socketio as it comes: what tests/hardening/ holds it to, and finds wanting.

The same as the tests' probe application does, as anybody would write it: `python stock_server.py` serves on a free
port of 127.0.0.1 and prints `listening on URL`.
"""

import asyncio
import socket
import sys
from typing import Any

import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
seen: list[list[Any]] = []


@server.event
async def connect(socket_id: str, _environ: Any, _auth: Any = None) -> None:
    seen.append(["connected", socket_id])


@server.event
async def disconnect(socket_id: str, *_reason: Any) -> None:
    seen.append(["disconnected", socket_id])


@server.on("seen")
async def tell(_socket_id: str, _data: Any) -> dict[str, Any]:
    return {"ok": True, "seen": seen}


@server.on("enter")
async def enter(socket_id: str, data: dict[str, Any]) -> dict[str, Any]:
    await server.enter_room(socket_id, data["room"])
    return {"ok": True}


@server.on("say")
async def say(_socket_id: str, data: dict[str, Any]) -> dict[str, Any]:
    await server.emit("said", {"n": data["n"], "padding": "x" * data["size"]}, room=data["room"])
    return {"ok": True}


async def main() -> None:
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
