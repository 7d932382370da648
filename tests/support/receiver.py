"""A receiver of webhooks in a process of its own, which a test can kill and start again at the same address."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.ports import free_port
from support.waiting import eventually

# Writes each request as a line, then answers with the status in the file beside it.
SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
port, lines, status = int(sys.argv[1]), sys.argv[2], sys.argv[3]
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        code = int(open(status).read())
        with open(lines, "a") as file:
            told = {"path": self.path, "headers": dict(self.headers), "body": body, "status": code}
            file.write(json.dumps(told) + "\\n")
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"http://127.0.0.1:{port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: str
    status: int

    @property
    def fact(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A process that listens at `url`."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.answer(204)
        lines = self.folder / "lines"
        lines.touch()
        arguments = [str(self.port), str(lines), str(self.folder / "status")]
        self.process = subprocess.Popen([sys.executable, "-S", "-c", SERVER, *arguments])
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "the receiver did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def answer(self, status: int) -> None:
        """Answer with a status from now on."""
        new = self.folder / "status.new"
        new.write_text(str(status))
        new.replace(self.folder / "status")

    def received(self, path: str = "/") -> list[Received]:
        lines = (self.folder / "lines").read_text().splitlines()
        return [each for line in lines if (each := Received(**json.loads(line))).path == path]

    def accepted(self, user_id: str, path: str = "/") -> list[Any]:
        """The facts about a user that were accepted, in the order in which they came."""
        facts = [each.fact for each in self.received(path) if each.status == 204]
        return [fact for fact in facts if fact["data"].get("userId") == user_id]

    async def until(self, user_id: str, *types: str, path: str = "/") -> list[Any]:
        """Wait until facts of these types about a user were accepted; return all about the user."""

        async def found() -> list[Any] | None:
            facts = self.accepted(user_id, path)
            return facts if set(types) <= {fact["type"] for fact in facts} else None

        return await eventually(found, f"{types} of {user_id} at {path}", timeout=60)


@contextmanager
def receiver(folder: Path) -> Iterator[Receiver]:
    """Run a receiver."""
    started = Receiver(folder, free_port())
    started.start()
    yield started
    started.kill()
