"""What documents and docstrings name is there: files, folders, links with their headings, imports in examples."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_architecture import FLOORS

ROOT = Path(__file__).resolve().parents[2]
OURS = ("auth", "bench", "client-demo", "docs", "realtime", "runtime", "tests")
# What came with other people's packages names places in them.
NOT_OURS = {"node_modules", "vendor"}
FOREIGN_PATHS = {"docs/engine.io-protocol/v4-current.md", "docs/socket.io-protocol/v5-current.md"}
# Placeholders for a file of the reader's own.
EXAMPLES = {"my_chat.py", "your_chat.py", "file.py"}
PLACEHOLDER = re.compile(r"\bNAME\b")

BEFORE = r"(?<![\w./:@{}<*-])"
FILE = re.compile(BEFORE + r"(?:\.\./)*[\w-][\w.-]*(?:/[\w.-]+)+\.(?:py|lua|js|cjs|md|html|txt)\b")
FOLDER = re.compile(BEFORE + r"(?:auth|realtime|runtime|tests|bench|client-demo)/[\w/.-]*\w")
BARE_FILE = re.compile(BEFORE + r"[a-z_]\w*\.(?:py|lua)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def files(ending: str) -> Iterator[Path]:
    """Every file of ours with this ending."""
    yield from sorted(ROOT.glob(f"*{ending}"))
    for folder in (*OURS, ".github"):
        for path in sorted((ROOT / folder).rglob(f"*{ending}")):
            if NOT_OURS.isdisjoint(path.parts):
                yield path


DOCUMENTS = list(files(".md"))
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def docstrings_of(module: Path) -> str:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(module.read_text()))
    return "\n".join(ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented))


def missing_in(text: str, source: Path) -> list[str]:
    """Paths that stand in `text` and lead nowhere, neither from the root nor from the folder of their source."""
    named = {*FILE.findall(text), *FOLDER.findall(text)} - FOREIGN_PATHS
    places = (ROOT, source.parent)
    return sorted(
        path for path in named if not PLACEHOLDER.search(path) and not any((at / path).exists() for at in places)
    )


def anchors_of(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(page)
    }


def test_there_is_something_to_check() -> None:
    assert {"README.md", "CHANGELOG.md", "architecture.md"} <= {path.name for path in DOCUMENTS}
    assert missing_in("see `auth/core/errors.py`, auth/no/such.py and tests/nowhere", ROOT / "README.md") == [
        "auth/no/such.py",
        "tests/nowhere",
    ]


def test_the_drawing_of_the_house_has_every_floor_in_its_place() -> None:
    house = (ROOT / "docs/architecture.md").read_text().partition("```\n")[2].partition("```")[0].splitlines()
    lines = []
    for floor in reversed(FLOORS):
        for folder in floor:
            place = folder.replace(".", "/")
            name = place.rpartition("/")[2] + ("/" if (ROOT / place).is_dir() else ".py")
            (line,) = [number for number, text in enumerate(house) if re.match(rf"(  )?(\S+ +)?{name}( |$)", text)]
            lines.append(line)
    assert lines == sorted(lines)


@every_document
def test_every_path_in_a_document_exists(document: Path) -> None:
    assert missing_in(document.read_text(), document) == []


@every_document
def test_every_module_that_a_document_names_without_its_folder_exists(document: Path) -> None:
    names = {path.name for ending in (".py", ".lua") for path in files(ending)} | EXAMPLES
    assert sorted(set(BARE_FILE.findall(document.read_text())) - names) == []


def test_every_path_in_a_docstring_exists() -> None:
    missing = {str(module.relative_to(ROOT)): missing_in(docstrings_of(module), module) for module in files(".py")}
    assert {module: paths for module, paths in missing.items() if paths} == {}


@every_document
def test_every_link_of_a_document_leads_to_a_file_and_its_heading(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        assert not anchor or anchor in anchors_of(page.read_text()), target


@every_document
def test_what_an_example_imports_of_ours_is_there(document: Path) -> None:
    for code in CODE.findall(document.read_text()):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
