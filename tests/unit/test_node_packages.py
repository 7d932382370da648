"""Packages of Node.js: installed by the set-up, before any test runs."""

import re

import pytest
from support.commands import node_packages
from support.nodes import ROOT


def test_the_set_up_installs_those_of_every_folder_of_the_tests() -> None:
    listed = re.search(r'^node_folders="(.+)"$', (ROOT / "scripts/setup").read_text(), re.MULTILINE)
    assert listed is not None
    needed = {str(file.parent.relative_to(ROOT)) for file in (ROOT / "tests").glob("*/package.json")}
    assert needed <= set(listed[1].split())


def test_a_test_installs_none_and_says_what_to_do() -> None:
    with pytest.raises(AssertionError, match="run scripts/setup test"):
        node_packages("unit")
