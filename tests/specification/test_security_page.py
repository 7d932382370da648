"""docs/security.md keeps its word: every test that it names is there, and every requirement has one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"\b\d+\.\d+\.\d+\b")
TEST = re.compile(r"def test(_asvs_\w+)\(")
IN_NAME = re.compile(r"_(?:asvs|and)_(\d+)_(\d+)_(\d+)(?=_)")


def rows_of(page: str) -> list[tuple[list[str], list[str]]]:
    """The numbers of each row of the table of requirements, and the paths that it names."""
    table = page.partition("\n## Requirements\n")[2].partition("\n## ")[0]
    rows = []
    for line in table.splitlines():
        if line.startswith("| ") and (cells := line.strip("| ").split(" | "))[0] != "requirement":
            rows.append((NUMBER.findall(cells[0]), paths_of(cells[-1])))
    return rows


def paths_of(names: str) -> list[str]:
    """The paths that a cell names: what has no folder is in that of the one before."""
    paths, folder = [], ""
    for name in names.split(", "):
        before, _, last = name.rpartition("/")
        folder = before or folder
        paths.append(f"{folder}/{last}")
    return paths


ROWS = rows_of((ROOT / "docs/security.md").read_text())


def requirements_in(path: str) -> set[str]:
    """The requirements that tests of a file are named after."""
    names = TEST.findall((ROOT / path).read_text())
    return {".".join(found) for name in names for found in IN_NAME.findall(name)}


@pytest.mark.parametrize(("numbers", "paths"), ROWS, ids=lambda value: value[0])
def test_the_tests_of_a_requirement_are_where_its_row_says(numbers: list[str], paths: list[str]) -> None:
    tested = {path: requirements_in(path) for path in paths}
    assert [number for number in numbers if not any(number in each for each in tested.values())] == []
    assert [path for path, each in tested.items() if each.isdisjoint(numbers)] == []


def test_what_a_test_is_named_after_is_a_requirement_of_the_page() -> None:
    listed = {number for numbers, _ in ROWS for number in numbers}
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert requirements_in(str(path.relative_to(ROOT))) <= listed, path
