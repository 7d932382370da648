"""Execs `server.py` with the bench's settings: the given command, or `serve`, in this process to profile it."""

import os
import runpy
import sys
from pathlib import Path

from bench.peer_vigil.vigil_environ import vigil_environ
from bench.sampler import Sampler

SERVER = Path(__file__).resolve().parents[2] / "server.py"


def main() -> None:
    """Run the server, or a command."""
    command = sys.argv[1:]
    folder = os.environ.get("BENCH_PROFILE")
    if folder and not command:
        os.environ.update(vigil_environ())
        Sampler(Path(folder)).install()
        sys.argv = [str(SERVER), "serve"]
        runpy.run_path(str(SERVER), run_name="__main__")
    os.execve(sys.executable, [sys.executable, str(SERVER), *(command or ["serve"])], vigil_environ())  # noqa: S606 - intended


if __name__ == "__main__":
    main()
