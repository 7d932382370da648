"""Starts, collects and renders profiles of servers during measurements (sampler.py records them)."""

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
    """Samples by function: at the top of the stack (`own`), and anywhere on it (`whole`)."""

    own: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)


def begin(pids: Sequence[int]) -> None:
    """Start sampling in the servers."""
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)


async def fetch(folder: Path, pids: Sequence[int]) -> Profile:
    """Stop sampling and add up the servers' samples. Raises `TimeoutError` if a server does not write them."""
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
    """Render the most expensive functions of each scenario, by own and by cumulative samples."""
    return "\n\n".join(f"## {title}\n\n{_table(profile)}" for title, profile in profiles.items())


def _table(profile: Profile) -> str:
    total = profile.own.total()
    # Functions on nearly every stack are the server's entry points.
    inner = Counter({name: count for name, count in profile.whole.items() if count < EVERYWHERE * total})
    rows = ["| own | | cumulative | |", "| ---: | --- | ---: | --- |"]
    ranked = zip(profile.own.most_common(SHOWN), inner.most_common(SHOWN), strict=False)
    for (own, own_count), (whole, whole_count) in ranked:
        rows.append(f"| {own_count / total:.1%} | `{own}` | {whole_count / total:.1%} | `{whole}` |")
    return "\n".join(rows)
