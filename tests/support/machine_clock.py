"""The clock of a machine, for one node: libfaketime shows the node another time than the rest of the machine's."""

from pathlib import Path


class MachineClock:
    """`environ`: for a node that is started by the command line. The time since boot remains the machine's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, ahead: int) -> None:
        """Let it be that many seconds ahead of the true time, or behind; the node sees it within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}")
        new.rename(self._file)
