"""Runs commands of `server.py` and captures their output and exit status."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.node_forks import ForkedProcess
from support.nodes import ROOT


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def bare_environ(**settings: str) -> dict[str, str]:
    """Return the environment without Vigil's variables, plus `settings`."""
    return {name: text for name, text in os.environ.items() if not name.startswith("VIGIL_")} | settings


def run_command(*arguments: str, environ: Mapping[str, str], timeout: float = 50) -> Ended:
    """Run a forked command of `server.py` to completion."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = ForkedProcess(arguments, environ, out.fileno(), err.fileno())
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return Ended(status, out.read(), err.read())


def run_shipped_command(*arguments: str, environ: Mapping[str, str], timeout: float = 50) -> Ended:
    """Run `server.py` in a new interpreter, as users do."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        env=dict(environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def node_packages(folder: str) -> Path:
    """Return a Node.js test folder's packages, which `scripts/setup test` has installed.

    They are not installed here: test processes that did so at once would disturb each other.
    """
    packages = ROOT / "tests" / folder / "node_modules"
    assert (packages / ".set-up").is_file(), f"{packages} is not set up: run scripts/setup test"
    return packages


def node_version() -> tuple[int, ...]:
    """Return the version of Node.js."""
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    return tuple(map(int, said.strip().removeprefix("v").split(".")))


class Running:
    """A forked command that runs until it is stopped."""

    def __init__(self, *arguments: str, environ: Mapping[str, str]) -> None:
        self._output, its_output = os.pipe()
        self.process = ForkedProcess(arguments, environ, its_output, its_output)
        os.close(its_output)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with open(self._output, encoding="utf-8") as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))

    def line(self, beginning: str, timeout: float = 30) -> str:
        """Wait for a line that starts with `beginning`; return its rest."""
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
