"""The live engine with everybody let in, for conformance suites from anywhere. Not part of the product.

    python -m tests.conformance_server --port 3000 --ping-interval 0.3 --ping-timeout 0.2
    python -m tests.conformance_server --port 3000 --ping-interval 0.3 --ping-timeout 0.2 --engine-only

Socket.IO on `/socket.io/` with the namespaces `/` and `/custom`: an `auth` event with what the handshake carried
follows CONNECT, `message` comes back as `message-back`, `message-with-ack` is acked with its arguments. With
`--engine-only`, Engine.IO on `/engine.io/` sends back every message. Any origin may come (CORS); who is in no
namespace after 1 s is closed; a message has 1,000,000 bytes at most.

It keeps nothing, knows no account and opens no store, and it cannot be turned into a way around authentication:
it listens on loopback only, refuses an environment that is configured for people (`signs_of_production`), and is
no part of what is installed. The product's own server has no switch for letting everybody in.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop
from aiohttp import web

from auth.http.edge.runner import HttpRunner
from auth.platform import logs
from auth.platform.metrics import Metrics
from auth.platform.open_connections import OpenConnections
from realtime.engine.emitter import Emitter
from realtime.engine.server import EngineServer
from realtime.engine.sockets import Received, Refused, SocketServer

# The cap on connections is no part of the protocols.
NOT_COUNTED = OpenConnections(0, proxies=(), metrics=Metrics())

NAMESPACES = ("/", "/custom")
CONNECT_SECONDS = 1.0
MAX_PAYLOAD = 1_000_000
# The official suites read one WebSocket message per read of the network, and lose the second of two that came in
# one: `auth` follows the answer to CONNECT in a packet of its own.
APART_SECONDS = 0.005


class Everybody:
    """The gate that lets everybody in."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._greetings: dict[str, dict[str, Any]] = {}

    def refuses(self, request: web.BaseRequest) -> None:
        """Nobody."""

    def count_refused(self) -> None:
        """Nobody is."""

    def gone(self, noted: Any) -> None:
        """Nothing: nobody is counted."""

    def note(self, request: web.BaseRequest) -> None:
        """Nothing: who comes does not matter."""

    async def admit(self, socket_id: str, noted: None, auth: Any) -> None:
        """Let anyone in whose handshake carries an object, or nothing."""
        if not isinstance(auth, dict | None):
            raise Refused("Invalid handshake", {"code": "invalid_request", "retryable": False})
        self._greetings[socket_id] = auth or {}

    def admitted(self, socket_id: str) -> None:
        """Tell the socket what it brought."""
        asyncio.get_running_loop().call_later(APART_SECONDS, self._greet, socket_id)

    def receive(self, socket_id: str, received: Received) -> None:
        """Send it back; never before the greeting."""
        self._greet(socket_id)
        if received.event == "message":
            self._emitter.emit_here(socket_id, "message-back", *received.arguments)
        elif received.event == "message-with-ack":
            received.answer(*received.arguments)

    def left(self, socket_id: str) -> None:
        """Forget the socket."""
        self._greetings.pop(socket_id, None)

    def _greet(self, socket_id: str) -> None:
        activation = self._greetings.pop(socket_id, None)
        if activation is not None:
            self._emitter.emit_here(socket_id, "auth", activation)


def make_socket_server(*, ping_interval: float, ping_timeout: float) -> SocketServer:
    """Socket.IO, with everybody let in."""
    emitter = Emitter()
    return SocketServer(
        Everybody(emitter),
        emitter,
        metrics=Metrics(),
        namespaces=NAMESPACES,
        authenticate_seconds=CONNECT_SECONDS,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        cors_allowed_origins="*",
    )


def make_engine_server(*, ping_interval: float, ping_timeout: float) -> EngineServer:
    """Engine.IO alone, an echo."""
    server = EngineServer(
        metrics=Metrics(),
        async_mode="aiohttp",
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        max_http_buffer_size=MAX_PAYLOAD,
        cors_allowed_origins="*",
    )

    async def echo(engine_id: str, data: str | bytes) -> None:
        await server.send(engine_id, data)

    server.on("message", echo)
    return server


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def signs_of_production(environ: Mapping[str, str]) -> list[str]:
    """The variables that say that people are served from here.

    The URLs of MongoDB and Redis are no such sign: the tests take them from the environment, too.
    """
    signs = []
    if environ.get("VIGIL_PUBLIC_URL", "").lower().startswith("https:"):
        signs.append("VIGIL_PUBLIC_URL")
    if environ.get("VIGIL_SMTP_URL"):
        signs.append("VIGIL_SMTP_URL")
    if not is_loopback(environ.get("VIGIL_HOST") or "localhost"):
        signs.append("VIGIL_HOST")
    return signs


def listeners(host: str, port: int) -> list[socket.socket]:
    """What to listen on: `localhost` means both loopback addresses, the second if the machine has it."""
    if host != "localhost":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [socket.create_server((host, port), family=family)]
    both = [socket.create_server(("127.0.0.1", port))]
    with contextlib.suppress(OSError):
        both.append(socket.create_server(("::1", both[0].getsockname()[1]), family=socket.AF_INET6))
    return both


async def serve(options: argparse.Namespace, sockets: Sequence[socket.socket]) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pings = {"ping_interval": options.ping_interval, "ping_timeout": options.ping_timeout}
    server = make_engine_server(**pings) if options.engine_only else make_socket_server(**pings)
    app = web.Application()
    server.attach(app)
    runner = HttpRunner(app, open_connections=NOT_COUNTED, shutdown_timeout=1)
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each).start()
    host, port = sockets[0].getsockname()[:2]
    sys.stdout.write(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.shutdown()
    await runner.cleanup()


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance_server")
    parser.add_argument("--host", default="localhost", help="a loopback address")
    parser.add_argument("--port", type=int, default=3000, help="0 takes a free one, which the first line names")
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="SECONDS")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--engine-only", action="store_true", help="Engine.IO alone, on /engine.io/")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit status."""
    options = read_options(arguments)
    if not is_loopback(options.host):
        return _refuse(f"--host {options.host} is no loopback address: everybody is let in here")
    signs = signs_of_production(os.environ)
    if signs:
        return _refuse(f"{', '.join(signs)} is set for production: everybody would be let in here")
    try:
        sockets = listeners(options.host, options.port)
    except OSError as error:
        return _refuse(f"cannot listen on {options.host}:{options.port}: {error.strerror}")
    logs.configure(level="warning", style="text")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options, sockets))
    return 0


def _refuse(why: str) -> int:
    sys.stderr.write(f"conformance server: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
