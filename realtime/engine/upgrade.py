"""The probe of a WebSocket for a long-polling connection (protocol v4, "Upgrade")."""

from typing import Protocol

from realtime.engine import frames
from realtime.engine.timers import Timers
from realtime.engine.websocket import INVALID_DATA, Peer, WebSocket

PROBE, PROBED, UPGRADE = "2probe", b"3probe", "5"
# Time limit of a probe; the reference implementation's value.
UPGRADE_SECONDS = 10.0


class Candidate(Peer, Protocol):
    """The connection to upgrade."""

    def probe_worked(self) -> None:
        """The peer has sent the probe and was answered."""

    def probe_over(self, websocket: WebSocket | None) -> None:
        """The probe has ended: `websocket` is used from now on, or None if it failed."""


class Probe:
    """Receives the WebSocket's messages until the peer has upgraded; then the connection receives them."""

    def __init__(self, connection: Candidate, websocket: WebSocket, timers: Timers) -> None:
        self._connection = connection
        self._websocket = websocket
        self._timer = timers.after(UPGRADE_SECONDS, self.fail)
        self._is_over = False
        self.succeeded = False

    def received(self, data: str | bytes) -> None:
        """Part of `websocket.Peer`: first the probe, then the upgrade packet."""
        if self._is_over:
            return
        if not self.succeeded and data == PROBE:
            self.succeeded = True
            self._websocket.send(frames.frame(frames.TEXT, PROBED))
            self._connection.probe_worked()
        elif self.succeeded and data == UPGRADE:
            self._end()
            self._websocket.peer = self._connection
            self._connection.probe_over(self._websocket)
        else:
            self.fail()

    def fail(self, *, is_patient: bool = True) -> None:
        """End the probe without an upgrade; polling continues. `is_patient`: see `WebSocket.close`."""
        if not self._is_over:
            self._end()
            self._connection.probe_over(None)
            self._websocket.close(INVALID_DATA, "the upgrade failed", is_patient=is_patient)

    def lost(self, reason: str) -> None:  # noqa: ARG002 - the probe ends for any reason
        """Part of `websocket.Peer`."""
        self.fail()

    def protocol_violated(self, why: str) -> None:  # noqa: ARG002
        """Part of `websocket.Peer`."""
        self.fail()

    def budget_exceeded(self) -> None:
        """Part of `websocket.Peer`."""
        self.fail()

    def reads_too_slowly(self, waiting: int) -> None:  # noqa: ARG002
        """Part of `websocket.Peer`."""
        self.fail()

    def _end(self) -> None:
        self._is_over = True
        self._timer.cancel()
