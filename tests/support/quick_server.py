"""`server.py` with password hashes that cost next to nothing: the tests make thousands of accounts.

What a hash must cost is tested where it is made (tests/unit/test_passwords.py) and on a node as users run it
(tests/security/test_asvs_operations.py).
"""

import runpy
import sys
from pathlib import Path

from argon2.profiles import CHEAPEST

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

import auth.passwords  # noqa: E402 - found from the path set above

auth.passwords.RFC_9106_LOW_MEMORY = CHEAPEST
runpy.run_path(str(ROOT / "server.py"), run_name="__main__")
