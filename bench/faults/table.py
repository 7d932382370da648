"""The table of docs/reliability.md: written from the catalogue and the measured figures."""

from collections.abc import Mapping, Sequence

from bench.faults.catalogue import ROWS
from bench.faults.rows import Figure, Row
from bench.peers import ROOT

DOCUMENT = ROOT / "docs/reliability.md"
HEAD = "| row | fault | promise | measured | what the server does |\n|---|---|---|---|---|\n"
BEGIN, END = "<!-- begin: make faults -->\n", "<!-- end: make faults -->\n"
UNMEASURED = "—"


def as_markdown(rows: Sequence[Row], measured: Mapping[str, Sequence[Figure]]) -> str:
    """Return the table."""
    return HEAD + "".join(_line(row, said(measured[row.name])) for row in rows)


def updated(document: str, measured: Mapping[str, Sequence[Figure]]) -> str:
    """Return the document with new figures; those of rows that were not run are kept."""
    before, _, rest = document.partition(BEGIN)
    table, _, after = rest.partition(END)
    known = kept(table)
    lines = [
        _line(
            row,
            "; ".join(map(str, measured[row.name])) if row.name in measured else known.get(row.name, UNMEASURED),
        )
        for row in ROWS
    ]
    return before + BEGIN + HEAD + "".join(lines) + END + after


def said(figures: Sequence[Figure]) -> str:
    """Return the figures as one cell."""
    return "; ".join(map(str, figures))


def kept(table: str) -> dict[str, str]:
    """Return the figures of a table by the name of their row."""
    cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {line[0].strip("| `"): line[3] for line in cells}


def _line(row: Row, figures: str) -> str:
    return f"| `{row.name}` | {row.fault} | {row.promise} | {figures} | {row.server} |\n"
