"""The Motor driver, and forced process exit for it. Imported only if `VIGIL_MONGO_DRIVER` is `motor`.

Motor runs commands in threads that Python joins at exit, and closing its client blocks the event loop. With a
MongoDB that does not respond, neither returns.
"""

import os
import sys
import threading
from typing import NoReturn

from motor.motor_asyncio import AsyncIOMotorClient as AsyncIOMotorClient

LAST_SECONDS = 9.5


def end_process_at_last() -> None:
    """Exit this process after `LAST_SECONDS`, even if its event loop is blocked."""
    timer = threading.Timer(LAST_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


def end_process(status: int) -> NoReturn:
    """Exit this process now, without joining its threads."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
