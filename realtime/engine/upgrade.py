"""A WebSocket on trial for a connection that polls (protocol v4, "Upgrade")."""

from typing import Protocol

from realtime.engine import frames
from realtime.engine.timers import Timers
from realtime.engine.websocket import INVALID_DATA, Peer, WebSocket

PROBE, PROBED, UPGRADE = "2probe", b"3probe", "5"
# A WebSocket that is tried has this long to prove itself; the reference implementation's number.
UPGRADE_SECONDS = 10.0


class Candidate(Peer, Protocol):
    """The connection that is to change over."""

    def probe_worked(self) -> None:
        """The WebSocket answers."""

    def probe_over(self, websocket: WebSocket | None) -> None:
        """The WebSocket is to be used from now on, or has failed."""


class Probe:
    """Takes what comes in until the peer has changed over; then the connection itself does."""

    def __init__(self, connection: Candidate, websocket: WebSocket, timers: Timers) -> None:
        self._connection = connection
        self._websocket = websocket
        self._timer = timers.after(UPGRADE_SECONDS, self.fail)
        self._is_over = False
        self.succeeded = False

    def received(self, data: str | bytes) -> None:
        """Part of `websocket.Peer`: first the probe, then the change-over."""
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

    def fail(self) -> None:
        """It does not work; the connection goes on polling."""
        if not self._is_over:
            self._end()
            self._connection.probe_over(None)
            self._websocket.close(INVALID_DATA, "not the upgrade that was announced")

    def lost(self, reason: str) -> None:  # noqa: ARG002 - whatever it was, the trial is over
        """Part of `websocket.Peer`."""
        self.fail()

    def broke_rules(self, why: str) -> None:  # noqa: ARG002
        """Part of `websocket.Peer`."""
        self.fail()

    def too_slow(self, waiting: int) -> None:  # noqa: ARG002
        """Part of `websocket.Peer`."""
        self.fail()

    def _end(self) -> None:
        self._is_over = True
        self._timer.cancel()
