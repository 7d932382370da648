"""`make faults`: runs the rows of docs/reliability.md, prints the table; exit status 1 if a promise is broken."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from support.databases import memory

from bench.accounting import raise_open_files
from bench.faults.catalogue import ROWS
from bench.faults.rows import Figure, Row
from bench.faults.table import DOCUMENT, as_markdown, said, updated
from bench.faults.world import World


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", default=",".join(names), help=f"comma-separated: {','.join(names)}")
    parser.add_argument("--size", type=float, default=1, help="share of the users and sockets of a full run (1)")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/reliability.md")
    parsed = parser.parse_args(arguments)
    parsed.only = parsed.only.split(",")
    if unknown := set(parsed.only) - set(names):
        parser.error(f"--only: unknown: {', '.join(sorted(unknown))}")
    return parsed


async def run(row: Row, size: float) -> list[Figure]:
    """Run a row in a world of its own. A row that cannot be finished is a broken promise."""
    with tempfile.TemporaryDirectory(prefix="vigil-faults-", dir=memory()) as folder:
        try:
            async with World(Path(folder), size) as world:
                figures = await row.run(world)
                # Unexpected failures of the nodes break a promise too, whatever the other figures say.
                failed = world.tracebacks()
                sys.stderr.writelines(f"{line}\n" for line in failed)
                return [*figures, Figure("unexpected errors logged", len(failed), most=0)] if failed else figures
        except Exception:  # noqa: BLE001 - the other rows are still to be measured
            traceback.print_exc()
            return [Figure("not finished", 1, most=0)]


def main(arguments: Sequence[str]) -> int:
    """Run the chosen rows; return the exit status."""
    chosen = read_arguments(arguments)
    # Ends what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_open_files()
    measured: dict[str, list[Figure]] = {}
    for row in ROWS:
        if row.name in chosen.only:
            begun = time.monotonic()
            measured[row.name] = asyncio.run(run(row, chosen.size))
            figures = said(measured[row.name])
            sys.stderr.write(f"{row.name} ({time.monotonic() - begun:.0f} s): {figures}\n")
    sys.stdout.write(as_markdown([row for row in ROWS if row.name in measured], measured))
    if chosen.write:
        DOCUMENT.write_text(updated(DOCUMENT.read_text(), measured))
    return 0 if all(figure.is_kept for figures in measured.values() for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
