"""Prerequisites of commands: MongoDB and Redis, the root secret, and the stop signal."""

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from auth.core.errors import Unavailable
from auth.crypto.root_secret import RootSecret
from auth.platform.settings.settings import MIN_SECRET_BYTES, Settings, SettingsError
from auth.stores.mongo import Mongo
from runtime.embedded.services import EmbeddedError, EmbeddedServices, ServiceUrls
from runtime.private_files import create_private, write_private

if TYPE_CHECKING:
    from auth.platform.tracing import Tracing

TRACES_PROTOCOL = "http/protobuf"


@contextlib.asynccontextmanager
async def services(settings: Settings, *, borrow: bool = False) -> AsyncIterator[tuple[str, str]]:
    """Yield the URLs of MongoDB and Redis: those in the settings, else embedded services started here.

    With `borrow`, uses the embedded services of a server already running on the data directory.
    """
    stores = settings.stores
    mongo = stores.mongo_url.get_secret_value() if stores.mongo_url else None
    redis = stores.redis_url.get_secret_value() if stores.redis_url else None
    if mongo and redis:
        yield mongo, redis
        return
    embedded, url_file = EmbeddedServices(stores.data_dir), stores.data_dir / "services.json"
    try:
        started = await embedded.start(mongo=mongo is None, redis=redis is None)
    except EmbeddedError:
        running = await _running(url_file) if borrow else None
        if running is None:
            raise
        yield mongo or running.mongo_url, redis or running.redis_url
        return
    try:
        # For commands run beside this one. The URLs contain passwords.
        write_private(url_file, json.dumps(dataclasses.asdict(started)))
        yield mongo or started.mongo_url, redis or started.redis_url
    finally:
        url_file.unlink(missing_ok=True)
        await embedded.stop()


def _read_urls(url_file: Path) -> ServiceUrls | None:
    try:
        return ServiceUrls(**json.loads(url_file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


async def _running(url_file: Path) -> ServiceUrls | None:
    """Return the services started by another process; None if there are none or MongoDB does not answer."""
    services = _read_urls(url_file)
    if services is not None and services.mongo_url:
        mongo = Mongo(services.mongo_url, None, "pymongo")
        try:
            await mongo.ping()
        except Unavailable:
            return None
        finally:
            await mongo.close()
    return services


def root(settings: Settings) -> RootSecret:
    """Return the root secret, and the second one while it is replaced. Raises `SettingsError`."""
    second = settings.tokens.second_secret_key
    return RootSecret(root_secret(settings), second.get_secret_value().encode() if second else None)


def root_secret(settings: Settings) -> bytes:
    """Return the root secret: from the settings, else a generated one stored in the data directory."""
    given = settings.tokens.secret_key
    if given is not None:
        return given.get_secret_value().encode()
    path = settings.stores.data_dir / "secret.key"
    try:
        return _stored_secret(path)
    except OSError as error:
        raise SettingsError(f"cannot use {path}: {(error.strerror or str(error)).lower()}") from None


def _stored_secret(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        create_private(path, secrets.token_hex(MIN_SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(f"{path} is damaged: set VIGIL_SECRET_KEY, or remove the file to end all sessions")
    return secret


def tracing(environ: Mapping[str, str]) -> "Tracing | None":
    """Traces, if the standard variables of OpenTelemetry name a receiver; otherwise nothing of it is imported.

    Raises `SettingsError` for a protocol that is not served, and without the packages.
    """
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = next((name for name in endpoints if environ.get(name)), None)
    if endpoint is None or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if environ.get(name) not in {None, "", TRACES_PROTOCOL}:
            raise SettingsError(f"{name} is wrong: only {TRACES_PROTOCOL} is supported")
    try:
        from auth.platform.tracing import Tracing
    except ImportError:
        raise SettingsError(f"{endpoint} needs the packages of requirements-otel.lock") from None
    return Tracing()


def stop_signal() -> asyncio.Event:
    """Return an event set by SIGINT, SIGTERM or SIGHUP. A second signal exits the process immediately."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    return stop
