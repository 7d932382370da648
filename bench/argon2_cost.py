"""Prints the CPU cost of one password verification as Vigil does it: {"cpuSeconds": …}.

Runs two at a time, as the peer's pool does, since concurrent verifications compete for memory bandwidth.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from auth.crypto.sodium_hasher import SodiumHasher

TIMES = 16
AT_ONCE = 2
PASSWORD = "bench-password-8341"  # noqa: S105 - of test users


def main() -> None:
    """Measure and print."""
    hasher = SodiumHasher()
    hashed = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: hasher.verify(hashed, PASSWORD), range(AT_ONCE)))
        begun = time.process_time()
        list(pool.map(lambda _: hasher.verify(hashed, PASSWORD), range(TIMES)))
        used = time.process_time() - begun
    sys.stdout.write(json.dumps({"cpuSeconds": used / TIMES}) + "\n")


if __name__ == "__main__":
    main()
