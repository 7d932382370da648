"""The example backends of examples/: the demo's chat as an application behind a URL."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support.application_backend import SECRET
from support.nodes import ROOT
from support.processes import program

START_SECONDS = 60


@contextmanager
def chat_backend(example: str, port: int, *, vigil_url: str, key: str) -> Iterator[None]:
    """Run an example (`express` or `fastapi`) as its README says."""
    if example == "express":
        command = [program("node"), str(ROOT / "examples/express/server.js")]
    else:
        folder = str(ROOT / "examples/fastapi")
        command = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "chat:app", "--port", str(port)]
    environ = os.environ | {
        "PORT": str(port),
        "VIGIL_URL": vigil_url,
        "VIGIL_SERVER_KEY": key,
        "VIGIL_APPLICATION_URL_SECRET": SECRET,
    }
    with _running(command, environ) as process:
        _wait_until_it_listens(process, port)
        yield


@contextmanager
def _running(command: list[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=dict(environ), stdout=sys.stderr) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "the backend did not start; make set-up installs what it needs"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, "the backend does not listen"
            time.sleep(0.05)
