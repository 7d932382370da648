"""Vigil's command line. What a node is made of stands in node.py.

python server.py                     one node (the same as `serve`)
python server.py serve --workers N   N processes on one port, WebSocket only
python server.py services            only the embedded MongoDB and Redis, in the foreground
python server.py worker              only the background jobs
python server.py grant EMAIL ROLE    give an account a role: the first administrator
python server.py keys rotate         begin to sign with the next key
"""

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvloop
from aiohttp import web

from auth import logs
from auth.clock import utc_now
from auth.errors import Unavailable
from auth.http.runner import HttpRunner
from auth.keys import KeyRing, KeySecretChanged
from auth.secrets import RootSecret
from auth.settings import MIN_SECRET_BYTES, Settings, SettingsError
from auth.stores.mongo import Mongo
from auth.tokens import LEEWAY
from embedded import EmbeddedError, EmbeddedServices, Services, run_foreground
from node import Node
from realtime.loading import ApplicationNotFound, load_application
from stores import Stores
from workers import reserve_port, run_workers, until_parent_is_gone

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 8.0
LAST_SECONDS = 9.5

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def services(settings: Settings, *, borrow: bool = False) -> AsyncIterator[tuple[str, str]]:
    """URLs of MongoDB and Redis: those given, else private ones, started here.

    With `borrow`, those of a server that already runs on the data directory will do.
    """
    stores = settings.stores
    mongo = stores.mongo_url.get_secret_value() if stores.mongo_url else None
    redis = stores.redis_url.get_secret_value() if stores.redis_url else None
    if mongo and redis:
        yield mongo, redis
        return
    private, note = EmbeddedServices(stores.data_dir), stores.data_dir / "services.json"
    try:
        started = await private.start(mongo=mongo is None, redis=redis is None)
    except EmbeddedError:
        running = await _running(note) if borrow else None
        if running is None:
            raise
        yield mongo or running.mongo_url, redis or running.redis_url
        return
    try:
        _leave_note(note, started)
        yield mongo or started.mongo_url, redis or started.redis_url
    finally:
        note.unlink(missing_ok=True)
        await private.stop()


def _leave_note(note: Path, services: Services) -> None:
    """Tell commands beside this one where the services are; the URLs have passwords in them."""
    draft = note.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(dataclasses.asdict(services), file)
    draft.replace(note)


def _read_note(note: Path) -> Services | None:
    try:
        return Services(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


async def _running(note: Path) -> Services | None:
    """The services that another process has started, if it has, and they answer."""
    services = _read_note(note)
    if services is not None and services.mongo_url:
        mongo = Mongo(services.mongo_url, None, "pymongo")
        try:
            await mongo.ping()
        except Unavailable:
            return None
        finally:
            await mongo.close()
    return services


def root_secret(settings: Settings) -> bytes:
    """The root secret: the one given, or the one that embedded mode made once and keeps in the data directory."""
    given = settings.tokens.secret_key
    if given is not None:
        return given.get_secret_value().encode()
    path = settings.stores.data_dir / "secret.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) < MIN_SECRET_BYTES:
            raise SettingsError(
                f"{path} is damaged: give VIGIL_SECRET_KEY, or remove it to end every session"
            ) from None
        return secret
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_hex(MIN_SECRET_BYTES).encode()
        file.write(secret)
    return secret


async def serve(settings: Settings, listener: socket.socket) -> int:
    """Run one node until SIGINT or SIGTERM."""
    stop = stop_signal()
    async with services(settings) as (mongo_url, redis_url):
        application = load_application(settings.server.application, HERE)
        node = Node(
            settings,
            mongo_url=mongo_url,
            redis_url=redis_url,
            secret=root_secret(settings),
            application=application,
        )
        await node.start()
        # What is there by now stays: collections need not look at it again, and it is most of what there is.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        runner = HttpRunner(node.app, on_upgrade=node.live.open_at_once, shutdown_timeout=2)
        await runner.setup()
        await web.SockSite(runner, listener, backlog=2048).start()
        host, port = listener.getsockname()[:2]
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await stop.wait()
        log.info("stopping")
        _leave_at_last()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await node.live.drain()
                await runner.cleanup()
                await node.close()
    return 0


def _leave_at_last() -> None:
    """End this process in time, whatever blocks its event loop: Motor does, before a MongoDB that is silent."""
    timer = threading.Timer(LAST_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


async def serve_worker(settings: Settings, listener: socket.socket) -> int:
    """Run a node as one of several on a port; also stops when the process that started it is gone."""
    watch = asyncio.create_task(until_parent_is_gone())
    watch.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return await serve(settings, listener)
    finally:
        watch.cancel()


async def serve_workers(settings: Settings, listener: socket.socket, count: int) -> int:
    """Run `count` nodes on one port."""
    stop = stop_signal()
    async with services(settings) as (mongo_url, redis_url):
        environ = dict(os.environ) | {
            "VIGIL_MONGO_URL": mongo_url,
            "VIGIL_REDIS_URL": redis_url,
            "VIGIL_SECRET_KEY": root_secret(settings).decode(),
            "VIGIL_PORT": str(listener.getsockname()[1]),
            "VIGIL_DEV_OUTBOX": "on" if settings.dev_outbox else "off",
            "VIGIL_WORKER": "on",
        }
        return await run_workers([sys.executable, str(HERE / "server.py"), "serve"], environ, count, stop)


async def run_jobs(settings: Settings) -> int:
    """Run only the background jobs until SIGINT or SIGTERM: all that a node runs, and no node."""
    stop = stop_signal()
    async with services(settings, borrow=True) as (mongo_url, redis_url):
        # It ends sessions, too, of which the application is to hear.
        application = load_application(settings.server.application, HERE)
        secret = root_secret(settings)
        node = Node(settings, mongo_url=mongo_url, redis_url=redis_url, secret=secret, application=application)
        await node.start_jobs()
        print("working", flush=True)
        await stop.wait()
        await node.close()
    return 0


async def grant(settings: Settings, email: str, role: str) -> int:
    """Give an account a role; its sockets on running nodes act by it at once."""
    if role not in settings.administration.roles:
        print(f"there is no role {role}: there are {', '.join(settings.administration.roles)}", file=sys.stderr)
        return 1
    async with services(settings, borrow=True) as (mongo_url, redis_url):
        secret = root_secret(settings)
        node = Node(settings, mongo_url=mongo_url, redis_url=redis_url, secret=secret, application=None)
        await node.jobs.start(work=False)
        user = await node.operations.roles.grant(email, role)
        await node.close()
    if user is None:
        print(f"there is no account with the address {email}", file=sys.stderr)
        return 1
    print(f"{user.email} has the roles: {', '.join(user.roles)}")
    return 0


async def rotate_keys(settings: Settings) -> int:
    """Begin to sign access tokens with the next key."""
    async with services(settings, borrow=True) as (mongo_url, _):
        stores = Stores(settings, mongo_url)
        await stores.ensure_indexes()
        life = timedelta(seconds=settings.tokens.access_token_seconds) + LEEWAY
        sealing_key = RootSecret(root_secret(settings)).derive("signing keys")
        key_id = await KeyRing(stores.signing_keys, sealing_key, token_life=life, clock=utc_now).rotate()
        await stores.mongo.close()
    print(f"signing with {key_id}")
    return 0


def stop_signal() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; a second one ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="server.py", description="Vigil, a real-time authentication server.")
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="run one node, or several on one port (the default)")
    for each in (parser, serving):
        each.add_argument("--workers", type=int, default=argparse.SUPPRESS, metavar="N", help="processes")
    commands.add_parser("services", help="run only the embedded MongoDB and Redis")
    commands.add_parser("worker", help="run only the background jobs")
    granting = commands.add_parser("grant", help="give an account a role")
    granting.add_argument("email")
    granting.add_argument("role")
    keys = commands.add_parser("keys", help="signing keys").add_subparsers(dest="action", required=True)
    keys.add_parser("rotate", help="begin to sign with the next key")
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Carry out one command; the exit status."""
    work: Coroutine[Any, Any, int]
    match arguments.command:
        case "services":
            work = run_foreground(settings.stores.data_dir)
        case "worker":
            work = run_jobs(settings)
        case "grant":
            work = grant(settings, arguments.email, arguments.role)
        case "keys":
            work = rotate_keys(settings)
        case _:
            return run_server(settings, getattr(arguments, "workers", 1))
    return uvloop.run(work)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a wrong setting is one clear line and status 2."""
    asked = read_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = Settings.load(os.environ)
        logs.configure(level=settings.log.log_level, style=settings.log.log_format)
        return run(asked, settings)
    except (SettingsError, EmbeddedError, ApplicationNotFound, KeySecretChanged) as error:
        print(f"vigil: {error}", file=sys.stderr)
        return 2
    except Unavailable:
        print("vigil: MongoDB does not answer: check VIGIL_MONGO_URL", file=sys.stderr)
        return 2


if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Not sys.exit, which waits for Motor's threads, and they for a MongoDB that may be silent.
    os._exit(code)
