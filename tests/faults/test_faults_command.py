"""`make faults` and `make soak`: what they measure, say and repeat."""

import asyncio
import os
import sys

from support.nodes import ROOT

from bench.faults.catalogue import ROWS
from bench.faults.rows import Figure
from bench.faults.soak import draw
from bench.faults.table import BEGIN, DOCUMENT, END, HEAD, kept, updated


async def test_it_runs_a_row_with_real_processes_and_prints_what_it_measured() -> None:
    ran = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.faults", "--only", "second-start", "--size", "0.1"),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "tests"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await ran.communicate()
    [head, _, line] = out.decode().splitlines()
    assert head == HEAD.splitlines()[0]
    assert line.startswith("| `second-start` | ")
    assert "not refused with one line 0" in line
    assert ran.returncode == (1 if "promised" in line else 0)


def test_a_broken_promise_is_marked() -> None:
    assert str(Figure("lost", 0, most=0)) == "lost 0"
    assert str(Figure("lost", 2, most=0)) == "lost 2 **(promised: 0)**"
    assert str(Figure("login p99", 0.25, "s", most=1)) == "login p99 0.25 s"
    assert not Figure("login p99", 1.2, "s", most=1).is_kept
    assert Figure("devices", 5).is_kept


def test_the_page_has_every_row_with_its_figures() -> None:
    document = DOCUMENT.read_text()
    measured = kept(document)
    assert list(measured) == [row.name for row in ROWS]
    assert updated(document, {}) == document


def test_new_figures_replace_those_of_their_row_only() -> None:
    first, second = (row.name for row in ROWS[:2])
    document = updated(
        f"before\n{BEGIN}{END}after\n", {first: [Figure("lost", 0)], second: [Figure("p99", 1, "s")]}
    )
    document = updated(document, {second: [Figure("p99", 2, "s")]})
    assert (kept(document)[first], kept(document)[second]) == ("lost 0", "p99 2 s")
    assert document.startswith("before\n")
    assert document.endswith("after\n")


def test_a_seed_repeats_the_faults_of_a_soak() -> None:
    assert list(draw(7, 600)) == list(draw(7, 600))
    assert list(draw(7, 600)) != list(draw(8, 600))
    assert len(list(draw(7, 600))) > 20
