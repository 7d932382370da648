"""Real OpenID providers in separate processes, and helpers for their URLs."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp

from support.commands import node_packages
from support.ports import free_port

START_SECONDS = 40
NPM_FOLDER = Path(__file__).resolve().parents[1] / "oidc-provider"


class OpenIdServer:
    """oidc-provider-mock, an OpenID provider in Python: entering a subject logs in as that subject."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(self.port), "--host", "127.0.0.1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def settings(self, provider_id: str, **more: str) -> dict[str, str]:
        """Return the settings of a node that uses this provider as `provider_id`."""
        prefix = f"VIGIL_OIDC_{provider_id.upper()}"
        return {
            f"{prefix}_ISSUER": self.issuer,
            f"{prefix}_CLIENT_ID": f"vigil-at-{provider_id}",
            f"{prefix}_CLIENT_SECRET": "the-secret-of-the-client-for-tests",
            **{f"{prefix}_{name}": value for name, value in more.items()},
        }

    async def has_user(self, http: aiohttp.ClientSession, subject: str, **claims: Any) -> None:
        async with http.put(f"{self.issuer}/users/{subject}", json=claims) as answer:
            assert answer.status == 204

    async def consent(self, http: aiohttp.ClientSession, url: str, subject: str) -> str:
        """Log in at the provider as `subject`; return the redirect URL."""
        return await self._post(http, url, {"sub": subject})

    async def refuse(self, http: aiohttp.ClientSession, url: str) -> str:
        return await self._post(http, url, {"action": "deny"})

    async def _post(self, http: aiohttp.ClientSession, url: str, form: dict[str, str]) -> str:
        assert url.startswith(self.issuer)
        async with http.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            return str(answer.headers["Location"])


@contextlib.contextmanager
def openid_server() -> Iterator[OpenIdServer]:
    server = OpenIdServer()
    try:
        yield server
    finally:
        server.stop()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def with_query(url: str, **changes: str | None) -> str:
    """Return `url` with changed query parameters; None removes one."""
    query = {name: value for name, value in {**query_of(url), **changes}.items() if value is not None}
    return f"{url.partition('?')[0]}?{urlencode(query)}"


def path_of(url: str) -> str:
    """Return path and query below `/api/auth`, since a node's public URL is not the one it listens on."""
    parts = urlsplit(url)
    assert parts.path.startswith("/api/auth/"), url
    return f"{parts.path.removeprefix('/api/auth')}?{parts.query}"


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


class NodeOpenIdServer:
    """npm's oidc-provider, certified OpenID software, in a separate process.

    It uses `localhost` while nodes use 127.0.0.1, so browsers treat it as another site.
    """

    def __init__(self, *, algorithm: str = "RS256") -> None:
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"
        self._algorithm = algorithm
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, str]:
        return {
            "VIGIL_OIDC_NPM_ISSUER": self.issuer,
            "VIGIL_OIDC_NPM_CLIENT_ID": "vigil",
            "VIGIL_OIDC_NPM_CLIENT_SECRET": "the-secret-of-the-client-for-tests",
        }

    def start(self, node_url: str) -> None:
        """Start with the node at `node_url` as a client."""
        node_packages(NPM_FOLDER.name)
        environ = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "REDIRECT_URI": f"{node_url}/api/auth/oauth/npm/callback",
            "ALGORITHM": self._algorithm,
        }
        command = ["node", "provider.js"]
        self._process = subprocess.Popen(
            command, cwd=NPM_FOLDER, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
