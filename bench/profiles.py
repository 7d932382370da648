"""Profiles of servers while they are measured: begun, fetched and shown (sampler.py takes them)."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

SHOWN = 25
EVERYWHERE = 0.98
WRITTEN_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass
class Profile:
    """Samples by function: on top of the stack (`own`), and anywhere on it (`whole`)."""

    own: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)


def begin(pids: Sequence[int]) -> None:
    """Let the servers take samples."""
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)


async def fetch(folder: Path, pids: Sequence[int]) -> Profile:
    """End the sampling and add up what the servers saw. Raises `TimeoutError` when one does not write it."""
    profile = Profile()
    for pid in pids:
        file = folder / f"{pid}.json"
        file.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
        async with asyncio.timeout(WRITTEN_SECONDS):
            while not file.exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(POLL_SECONDS)
        seen = orjson.loads(await asyncio.to_thread(file.read_bytes))
        profile.own.update(seen["own"])
        profile.whole.update(seen["whole"])
    return profile


def as_markdown(profiles: Mapping[str, Profile]) -> str:
    """For each scenario the functions that took most, by themselves and with what they call."""
    return "\n\n".join(f"## {title}\n\n{_table(profile)}" for title, profile in profiles.items())


def _table(profile: Profile) -> str:
    total = profile.own.total()
    # What is on the stack all the time is how the server was started.
    inner = Counter({name: count for name, count in profile.whole.items() if count < EVERYWHERE * total})
    rows = ["| by itself | | with what it calls | |", "| ---: | --- | ---: | --- |"]
    ranked = zip(profile.own.most_common(SHOWN), inner.most_common(SHOWN), strict=False)
    for (own, own_count), (whole, whole_count) in ranked:
        rows.append(f"| {own_count / total:.1%} | `{own}` | {whole_count / total:.1%} | `{whole}` |")
    return "\n".join(rows)
