"""Forks nodes and commands from a process that has imported the server, so that tests do not pay for the imports.

`ForkedProcess` runs the command line in a separate process, with the cheapest password hashes, since tests create
thousands of accounts. The real cost of hashes is tested in tests/unit/test_passwords.py, and on an unmodified node
in tests/security/test_asvs_operations.py. Run as a script, this file is the forking process; it ends with its
parent.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
MAX_REQUEST_BYTES = 256 * 1024


class ForkedProcess:
    """The part of `subprocess.Popen` that tests use, for a forked node or command."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], output: int, errors: int) -> None:
        self.returncode: int | None = None
        self._forker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._forker.connect(_forker())
        request = json.dumps({"arguments": list(arguments), "environ": dict(environ)}).encode()
        socket.send_fds(self._forker, [request], [output, errors])
        self.pid = int(self._forker.recv(32))

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        with contextlib.suppress(BlockingIOError):
            self._receive_status(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises `subprocess.TimeoutExpired`."""
        try:
            self._receive_status(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(f"node {self.pid}", timeout or 0) from None
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _receive_status(self, timeout: float | None) -> None:
        if self.returncode is None:
            self._forker.settimeout(timeout)
            self.returncode = int(self._forker.recv(32) or -signal.SIGKILL)
            self._forker.close()


@functools.cache
def _forker() -> str:
    """Return the socket path of the forking process, starting it on first use."""
    folder = tempfile.TemporaryDirectory(prefix="vigil-forks-")
    path = f"{folder.name}/socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            cwd=ROOT,
            start_new_session=True,
        )

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return path


def _serve_forks(listener: socket.socket) -> None:
    """Fork a node for each request, and send its exit status to the requester.

    When standard input ends, because the requesting process has ended, kill all nodes.
    """
    running: set[int] = set()
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                for each in running:
                    os.kill(each, signal.SIGKILL)
                return
            if key.fileobj is listener:
                requester, _ = listener.accept()
                if pid := _fork(requester):
                    running.add(pid)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, requester))
            else:
                ended, requester = key.data
                selector.unregister(key.fd)
                os.close(key.fd)
                running.discard(ended)
                _, status = os.waitpid(ended, 0)
                with contextlib.suppress(OSError), requester:
                    requester.send(str(os.waitstatus_to_exitcode(status)).encode())


def _fork(requester: socket.socket) -> int | None:
    data, outputs, _, _ = socket.recv_fds(requester, MAX_REQUEST_BYTES, 2)
    request = json.loads(data)
    pid = os.fork()
    if pid == 0:
        _become_node(request["arguments"], request["environ"], outputs)
    for output in outputs:
        os.close(output)
    requester.send(str(pid).encode())
    return pid


def _become_node(arguments: Sequence[str], environ: Mapping[str, str], outputs: Sequence[int]) -> None:
    os.setsid()
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["server.py", *arguments]
    status = 1
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from auth.clients.devices import Devices
    from auth.crypto import passwords
    from auth.crypto.sodium_hasher import SodiumHasher
    from runtime.commands import main

    # Imported before the first fork, so that nodes need not.
    for module in ("runtime.operator_commands", "runtime.serving"):
        importlib.import_module(module)

    cheapest = functools.partial(SodiumHasher, time_cost=1, memory_kib=passwords.LEAST_MEMORY_KIB)
    # Raises if the name is gone: nodes would hash at the real cost, and nobody would notice.
    mock.patch.object(passwords, "SodiumHasher", cheapest).start()
    # Compiles its patterns once, before the first fork.
    Devices()
    gc.freeze()
    _serve_forks(socket.socket(fileno=int(sys.argv[1])))
