"""Conformance servers as processes: ours, or whatever `VIGIL_CONFORMANCE_COMMAND` names."""

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-m", "tests.conformance_server"]


def command() -> list[str]:
    """The program under test."""
    return shlex.split(os.environ.get("VIGIL_CONFORMANCE_COMMAND", "")) or OURS


class Server:
    """One process of the program under test; what it writes is kept."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [*command(), *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        self._lines = self._process.stdout
        line = self._lines.readline()
        assert line.startswith("listening on "), line + self._lines.read()
        self.url = line.removeprefix("listening on ").strip()
        self._said: list[str] = []
        # Or its pipe would fill up, and it would stand still.
        self._reading = threading.Thread(target=self._said.extend, args=[self._lines], daemon=True)
        self._reading.start()

    def stop(self) -> str:
        """End it; what it wrote, beyond its first line."""
        is_running = self._process.poll() is None
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
        self._reading.join(10)
        self._lines.close()
        return "".join(self._said) + ("" if is_running else "it ended by itself: Traceback")
