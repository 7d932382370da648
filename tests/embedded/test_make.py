"""`make run` and its set-up, on a machine made up of a few tools and interpreters of our choice."""

import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "bash", "dirname", "cat", "cksum", "id", "uname", "grep", "rm", "mkdir", "ln", "make")

# As far as the set-up can tell, an interpreter of our own version; what it lacks fails to import.
PYTHON = """#!/bin/sh
case "$*" in
    *ensurepip*|*libcurl*) exit {imports} ;;
    *"-m venv"*) mkdir -p .venv/bin; echo "$PWD" >.venv/bin/activate; ln -s "{itself}" .venv/bin/python ;;
    *"-m pip"*) exit 0 ;;
    *) exec {real} "$@" ;;
esac
"""

SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from runtime.embedded import services as embedded
raise SystemExit(asyncio.run(embedded.run_foreground(Path(".data"))))
"""


class Machine:
    """A checkout and a PATH on which only the tools of the set-up are found."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.bin = folder / "bin"
        (self.checkout / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("Makefile", "requirements.lock", "requirements-test.lock", "scripts/setup"):
            shutil.copy(ROOT / name, self.checkout / name)
        for tool in TOOLS:
            place = shutil.which(tool)
            assert place is not None
            (self.bin / tool).symlink_to(place)

    def add_python(self, *, name: str = "python3", complete: bool = True) -> None:
        python = self.bin / name
        python.write_text(PYTHON.format(imports=0 if complete else 1, itself=python, real=sys.executable))
        python.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["make", *arguments],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "HOME": str(self.checkout)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def set_up(self) -> tuple[int, list[str]]:
        """Its exit code and what it said."""
        done = subprocess.run(
            [self.checkout / "scripts/setup", "run"],
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without Python."""
    return Machine(tmp_path)


def test_a_python_too_old_is_named_in_one_line(machine: Machine) -> None:
    (machine.bin / "python3").write_text("#!/bin/sh\nexit 1\n")
    (machine.bin / "python3").chmod(0o755)
    code, lines = machine.set_up()
    assert code == 1
    cure = "apt-get install python3.11 python3.11-venv, or make run PYTHON=/path/to/python3"
    assert lines == [f"vigil: Python 3.11 or newer is needed: {cure}"]


@pytest.mark.parametrize("name", ["python3.13", "python3", "python"])
def test_a_good_python_is_found_behind_a_broken_newer_one(machine: Machine, name: str) -> None:
    (machine.bin / "python3.14").symlink_to("/nowhere")
    machine.add_python(name=name)
    assert machine.set_up() == (0, ["vigil: setting up .venv from requirements.lock"])


def test_all_missing_system_packages_are_named_at_once_a_line_each(machine: Machine) -> None:
    machine.add_python(complete=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    wanted = [f"vigil: {version} has no venv: apt-get install {version}-venv"]
    if sys.platform == "linux" and platform.machine() == "x86_64":
        wanted.append("vigil: the embedded MongoDB needs libcurl.so.4: apt-get install libcurl4")
    assert machine.set_up() == (1, wanted)
    assert not (machine.checkout / ".venv").exists()


def test_a_set_up_is_repeated_only_when_the_lock_changes(machine: Machine) -> None:
    machine.add_python()
    setting_up = ["vigil: setting up .venv from requirements.lock"]
    assert machine.set_up() == (0, setting_up)
    assert machine.set_up() == (0, [])
    with (machine.checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert machine.set_up() == (0, setting_up)
    assert machine.set_up() == (0, [])


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_make_run_ends_without_a_complaint_or_a_server_left(machine: Machine, order: signal.Signals) -> None:
    machine.add_python()
    (machine.checkout / "server.py").write_text(SERVER.format(root=str(ROOT)))
    make = machine.make("run")
    assert make.stdout is not None
    assert make.stdout.readline().startswith("VIGIL_MONGO_URL=")
    assert make.stdout.readline().startswith("VIGIL_REDIS_URL=")
    servers = [int((machine.checkout / f".data/{name}.pid").read_text()) for name in ("mongo", "redis")]
    if order == signal.SIGINT:
        os.killpg(make.pid, order)  # what a terminal does
    else:
        make.send_signal(order)
    out, err = make.communicate(timeout=10)
    assert (out, err) == ("", "vigil: setting up .venv from requirements.lock\n")
    assert make.returncode in (0, -order)
    assert not [pid for pid in servers if Path(f"/proc/{pid}").exists()]
