"""A plan for many sockets, made of measured costs and named assumptions.

Run: `python -m bench.capacity [--results FILE] [--stores FILE] [--sockets N …] [--set NAME=VALUE …]`. It prints
Markdown, or with `--into FILE` puts it where that file has the last plan. The figures are in `plan_figures.py`,
the rules in `plan.py`, simulated storms in `storms.py`, the tables in `plan_report.py`, all of them pure: the same
input gives the same plan, storms included. Here is what reads and writes.
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

RESULTS = Path("artefacts/bench.json")
SIZES = (100_000, 1_000_000, 100_000_000)


def read_json(path: Path, cure: str) -> Mapping[str, Any]:
    """The object in a file; `cure` says how to come by the file. Raises `PlanError`."""
    try:
        found = json.loads(_read(path, cure))
    except ValueError as error:
        raise PlanError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise PlanError(f"{path} is not an object")
    return found


def _read(path: Path, cure: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PlanError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; {cure}") from None


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="what `make bench` wrote (%(default)s)")
    parser.add_argument("--stores", type=Path, help="other measured costs of the stores")
    parser.add_argument("--sockets", type=_count, nargs="+", default=SIZES, metavar="N")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another assumption or cost"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="a document with a place for the plan")
    parser.add_argument("--seed", type=int, default=1, help="of the simulations (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        costs = node_costs(read_json(given.results, "`make bench` writes it"))
        stores = (
            store_costs(read_json(given.stores, "see docs/scaling.md"), Stores()) if given.stores else Stores()
        )
        assumptions, stores = assume(given.set, Assumptions(), stores)
        plans = [plan(sockets, costs, stores, assumptions) for sockets in given.sockets]
        text = report(plans, costs, stores, assumptions, seed=given.seed)
        if given.into is not None:
            given.into.write_text(put_in(_read(given.into, "it must be there already"), text))
    except PlanError as error:
        sys.stderr.write(f"capacity: {error}\n")
        return 2
    if given.into is None:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
