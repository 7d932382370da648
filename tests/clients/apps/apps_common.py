"""The verifier of the services under test, from the environment."""

import logging
import os

from vigil_verify import Verifier


def verifier() -> Verifier:
    logging.basicConfig(level=logging.ERROR)
    return Verifier(
        os.environ["ISSUER"],
        server_key=os.environ["SERVER_KEY"],
        urls=os.environ["URLS"].split(","),
        stale_after=float(os.environ["STALE_AFTER"]),
    )
