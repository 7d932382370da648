"""`server.py` as a command: what it prints and how it ends."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from support.nodes import ROOT


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def bare_environ(**settings: str) -> dict[str, str]:
    """Our own variables without any of Vigil's but `settings`."""
    return {name: text for name, text in os.environ.items() if not name.startswith("VIGIL_")} | settings


def run_command(*arguments: str, environ: Mapping[str, str], timeout: float = 50) -> Ended:
    done = subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        env=dict(environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that runs until it is told to stop."""

    def __init__(self, *arguments: str, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), *arguments],
            env=dict(environ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))

    def line(self, beginning: str, timeout: float = 30) -> str:
        """The rest of the first line that begins so."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for line in list(self.lines):
                if line.startswith(beginning):
                    return line.removeprefix(beginning)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no line {beginning!r}:\n" + "\n".join(self.lines))

    def stop(self, timeout: float = 15) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join(1)
