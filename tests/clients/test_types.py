"""The types of the Node.js library, as a strict TypeScript program sees them."""

import re
import subprocess

from support.commands import node_packages
from support.nodes import ROOT

EXPORTED = re.compile(r"^export (?:class|function|interface|type) (\w+)", re.MULTILINE)


def test_a_program_that_uses_every_export_compiles_and_wrong_uses_of_them_do_not() -> None:
    folder = node_packages("node-clients").parent
    program = (folder / "types.ts").read_text()
    for types in (ROOT / "clients" / "node").glob("*.d.ts"):
        module = (
            "vigil-verify" if types.name == "index.d.ts" else f"vigil-verify/{types.name.removesuffix('.d.ts')}"
        )
        imported = " ".join(re.findall(rf'import .*\{{(.*)}} from "{module}"', program))
        assert set(EXPORTED.findall(types.read_text())) <= set(re.findall(r"\w+", imported)), module
    compiler = node_packages("typescript-client") / ".bin" / "tsc"
    checked = subprocess.run([compiler, "--project", folder], capture_output=True, text=True, timeout=150)
    assert checked.returncode == 0, checked.stdout
