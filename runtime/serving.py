"""Long-running commands: one node, several nodes on one port, the background jobs."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile

import structlog
import uvloop
from aiohttp import web

from auth.http.edge.runner import HttpRunner
from auth.platform.metrics import SHARED_DIRECTORY
from auth.platform.settings.settings import Settings, SettingsError
from runtime.application_loader import load_application
from runtime.command_node import command_node
from runtime.node import ROOT, Node
from runtime.provision import root, root_secret, services, stop_signal, tracing
from runtime.workers import reserve_port, run_workers, until_parent_is_gone

STOP_SECONDS = 8.0

log = structlog.get_logger()


def run_server(settings: Settings, count: int) -> int:
    """Serve with `count` processes."""
    if count < 1:
        raise SettingsError("--workers must be at least 1")
    shared = settings.server.worker or count > 1
    with reserve_port(settings.server.host, settings.server.port, shared=shared) as listener:
        settings = Settings.load(os.environ | {"VIGIL_PORT": str(listener.getsockname()[1])})
        if settings.server.worker:
            return uvloop.run(serve_worker(settings, listener))
        if count > 1:
            return uvloop.run(serve_workers(settings, listener, count))
        return uvloop.run(serve(settings, listener))


async def serve(settings: Settings, listener: socket.socket) -> int:
    """Run one node until SIGINT, SIGTERM or SIGHUP."""
    stop = stop_signal()
    if settings.accounts.dev_outbox and not settings.dev_outbox:
        log.warning("no_dev_outbox", reason="VIGIL_PUBLIC_URL is not on this machine")
    async with services(settings) as (mongo_url, redis_url):
        application = load_application(settings.application, ROOT)
        node = Node(
            settings,
            mongo_url=mongo_url,
            redis_url=redis_url,
            root=root(settings),
            application=application,
            tracing=tracing(os.environ),
        )
        await node.start()
        # Nearly all objects created during startup are permanent: exclude them from all collections.
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()
        runner = HttpRunner(
            node.app,
            open_connections=node.open_connections,
            allowed_origins=settings.allowed_origins,
            ahead=node.live.ahead,
            shutdown_timeout=2,
        )
        await runner.setup()
        await web.SockSite(runner, listener, backlog=2048).start()
        print(f"listening on {settings.listening_url}", flush=True)
        await stop.wait()
        log.info("stopping")
        if settings.stores.mongo_driver == "motor":
            from auth.stores.motor_driver import end_process_at_last

            end_process_at_last()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await node.live.drain()
                await runner.cleanup()
                await node.close()
    return 0


async def serve_worker(settings: Settings, listener: socket.socket) -> int:
    """Run a node as one of several on a port; also stops when its parent process ends."""
    watch = asyncio.create_task(until_parent_is_gone())
    watch.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return await serve(settings, listener)
    finally:
        watch.cancel()


async def serve_workers(settings: Settings, listener: socket.socket, count: int) -> int:
    """Run `count` nodes on one port until SIGINT or SIGTERM. SIGHUP replaces them one after another."""
    gc.enable()
    stop, reload = stop_signal(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    async with services(settings) as (mongo_url, redis_url):
        environ = dict(os.environ) | {
            "VIGIL_MONGO_URL": mongo_url,
            "VIGIL_REDIS_URL": redis_url,
            "VIGIL_SECRET_KEY": root_secret(settings).decode(),
            "VIGIL_PORT": str(listener.getsockname()[1]),
            "VIGIL_DEV_OUTBOX": "on" if settings.dev_outbox else "off",
            "VIGIL_WORKER": "on",
        }
        command = [sys.executable, str(ROOT / "server.py"), "serve"]
        with tempfile.TemporaryDirectory(prefix="vigil-metrics-") as metrics_dir:
            environ[SHARED_DIRECTORY] = metrics_dir
            return await run_workers(command, environ, count, stop=stop, reload=reload)


async def run_jobs(settings: Settings) -> int:
    """Run only the background jobs of a node until SIGINT, SIGTERM or SIGHUP."""
    stop = stop_signal()
    # Jobs can end sessions, which calls the application's hooks.
    async with command_node(settings, settings.application, tracing(os.environ)) as node:
        await node.start_jobs()
        print("working", flush=True)
        await stop.wait()
    return 0
