"""The bundle of the page is that of its sources, and is served only while it is."""

import base64
import gzip
import json
import subprocess
from pathlib import Path

import pytest
from multidict import CIMultiDict
from support.nodes import ROOT

from auth.http.pages.bundle import FOLDER, best_encoding, current_bundle

PAGE = ROOT / "client-demo"
# Node.js, since Python's standard library has no Brotli.
UNPACK = """
import { readFileSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";
for (const name of process.argv.slice(1)) {
  console.log(brotliDecompressSync(readFileSync(name)).toString("base64"));
}
"""


def contents(folder: Path) -> dict[str, bytes]:
    """The files directly in `folder`."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the present sources."""
    folder = tmp_path_factory.mktemp("page") / FOLDER
    subprocess.run(["node", ROOT / "scripts/page/bundle.js", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_committed_bundle_is_that_of_the_sources(built: Path) -> None:
    committed, fresh = contents(PAGE / FOLDER), contents(built)
    assert sorted(committed) == sorted(fresh), "the page has changed: run `make page`"
    assert committed == fresh, "the page has changed: run `make page`"


def test_its_compressed_files_have_the_same_contents() -> None:
    plain = contents(PAGE / FOLDER)
    del plain["manifest.json"]
    packed = contents(PAGE / FOLDER / "gzip")
    assert {name: gzip.decompress(content) for name, content in packed.items()} == plain
    names = sorted(contents(PAGE / FOLDER / "br"))
    assert names == sorted(plain)
    files = [str(PAGE / FOLDER / "br" / name) for name in names]
    command = ["node", "--input-type=module", "--eval", UNPACK, *files]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.split()
    assert dict(zip(names, map(base64.b64decode, lines), strict=True)) == plain


def test_it_is_current_until_a_source_changes_or_is_removed(built: Path) -> None:
    page = built.parent
    sources = json.loads((built / "manifest.json").read_bytes())["sources"]
    assert {"app.js", "app.css", "index.html", "vigil-client.js", "ui/admin-view.js"} <= set(sources)
    for name in sources:
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_bytes((PAGE / name).read_bytes())
    assert current_bundle(page) is not None
    changed = page / "ui/admin-view.js"
    changed.write_bytes(changed.read_bytes() + b"\n")
    assert current_bundle(page) is None
    changed.unlink()
    assert current_bundle(page) is None


def test_a_page_without_a_bundle_has_none(tmp_path: Path) -> None:
    assert current_bundle(tmp_path) is None


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.0,gzip ; q=0.2", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *", "gzip"),
        ("gzip;q=0, br;q=none", None),
        ("brotli, gzipped", None),
    ],
)
def test_the_encoding_is_the_best_that_the_browser_accepts(accepted: str | None, encoding: str | None) -> None:
    headers = CIMultiDict[str]() if accepted is None else CIMultiDict({"Accept-Encoding": accepted})
    assert best_encoding(headers) == encoding
