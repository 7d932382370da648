"""A capacity plan for many sockets, from measured costs and named assumptions.

Run: `python -m bench.capacity [--results FILE] [--stores FILE] [--sockets N …] [--set NAME=VALUE …]`. Prints
Markdown; with `--into FILE`, replaces the plan in that file. Inputs are in `plan_figures.py`, rules in `plan.py`,
simulated storms in `storms.py`, tables in `plan_report.py`; all of these are pure and deterministic. This module
does the I/O.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.plan import plan
from bench.plan_figures import Assumptions, PlanError, Stores, assume, node_costs, store_costs
from bench.plan_report import put_in, report
from bench.storms import SAMPLE

RESULTS = Path("artefacts/bench.json")
SIZES = (100_000, 1_000_000, 100_000_000)


def read_json(path: Path, hint: str) -> Mapping[str, Any]:
    """Read a JSON object from a file. `hint`: how to create the file. Raises `PlanError`."""
    try:
        found = json.loads(_read(path, hint))
    except ValueError as error:
        raise PlanError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise PlanError(f"{path} is not an object")
    return found


def _read(path: Path, hint: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PlanError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; {hint}") from None


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="output of `make bench` (%(default)s)")
    parser.add_argument("--stores", type=Path, help="output of `python -m bench.store_costs`")
    parser.add_argument("--sockets", type=_count, nargs="+", default=SIZES, metavar="N")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="override an assumption or cost"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="a document whose plan is replaced")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulations (%(default)s)")
    parser.add_argument(
        "--sample", type=_count, default=SAMPLE, help="clients to simulate at most, for each storm (%(default)s)"
    )
    given = parser.parse_args(arguments)
    try:
        costs = node_costs(read_json(given.results, "`make bench` writes it"))
        stores = (
            store_costs(read_json(given.stores, "see docs/scaling.md"), Stores()) if given.stores else Stores()
        )
        assumptions, stores = assume(given.set, Assumptions(), stores)
        plans = [plan(sockets, costs, stores, assumptions) for sockets in given.sockets]
        text = report(plans, costs, stores, assumptions, seed=given.seed, sample=given.sample)
        if given.into is not None:
            given.into.write_text(put_in(_read(given.into, "it must already exist"), text))
    except PlanError as error:
        sys.stderr.write(f"capacity: {error}\n")
        return 2
    if given.into is None:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
