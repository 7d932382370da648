"""Prints the CPU of verifying one password with argon2-cffi, as the Python peers do: {"cpuSeconds": …}.

Two at a time, as their pools have it: passwords compete for the same memory.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.profiles import RFC_9106_LOW_MEMORY

TIMES = 16
AT_ONCE = 2
PASSWORD = "bench-password-8341"  # noqa: S105 - of made-up users


def main() -> None:
    """Measure and print."""
    hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
    hashed = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: hasher.verify(hashed, PASSWORD), range(AT_ONCE)))
        begun = time.process_time()
        list(pool.map(lambda _: hasher.verify(hashed, PASSWORD), range(TIMES)))
        used = time.process_time() - begun
    sys.stdout.write(json.dumps({"cpuSeconds": used / TIMES}) + "\n")


if __name__ == "__main__":
    main()
