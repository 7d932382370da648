"""Sampling profiler of a Python server: records the event loop's stack every few milliseconds of CPU time.

Runs inside the server with `--profile`. SIGUSR1 starts it; SIGUSR2 stops it and writes the samples. Time in C code
counts for the calling Python function. It costs about 1 % CPU, so reported figures come from runs without it.
"""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

# The kernel's tick may be longer.
EVERY_SECONDS = 0.001


class Sampler:
    """Counts functions at the top of the stack, and anywhere on it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{os.getpid()}.json"
        self._own: Counter[str] = Counter()
        self._whole: Counter[str] = Counter()

    def install(self) -> None:
        """Install the signal handlers."""
        signal.signal(signal.SIGUSR1, self._begin)
        signal.signal(signal.SIGUSR2, self._end)
        signal.signal(signal.SIGPROF, self._sample)

    def _begin(self, _number: int, _frame: FrameType | None) -> None:
        self._own.clear()
        self._whole.clear()
        signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps({"own": self._own, "whole": self._whole}))
        draft.replace(self._file)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            code = frame.f_code
            stack.append(f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}")
            frame = frame.f_back
        if stack:
            self._own[stack[0]] += 1
            self._whole.update(set(stack))
