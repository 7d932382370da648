"""Runs modules of the demo page that need no browser, in Node.js."""

import json
import os
import subprocess
from typing import Any

from support.nodes import ROOT

RUN = """
const [base, given] = JSON.parse(process.argv[1]);
const load = (file) => import(`${base}/${file}`);
console.log(JSON.stringify(await (%s)(load, given)));
"""


def evaluate(function: str, given: Any) -> Any:
    """Call a JavaScript function with `load`, which imports a module of client-demo/, and `given`."""
    arguments = json.dumps([(ROOT / "client-demo").as_uri(), given])
    command = ["node", "--input-type=module", "--eval", RUN % function, arguments]
    # Dates are written as in the browsers of tests/browser.
    environment = os.environ | {"LC_ALL": "en_GB.UTF-8"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)
