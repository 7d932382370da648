"""Translates the bench's environment to Vigil's settings."""

import os

OF_BENCH = {
    "VIGIL_PORT": "BENCH_PORT",
    "VIGIL_MONGO_URL": "BENCH_MONGO_URL",
    "VIGIL_MONGO_DATABASE": "BENCH_DATABASE",
    "VIGIL_REDIS_URL": "BENCH_REDIS_URL",
    "VIGIL_REDIS_PREFIX": "BENCH_PREFIX",
    "VIGIL_SECRET_KEY": "BENCH_SECRET",
    "VIGIL_ACCESS_TOKEN_SECONDS": "BENCH_TOKEN_SECONDS",
    "VIGIL_RATE_LIMITS": "BENCH_RATE_LIMITS",
}
FIXED = {
    "VIGIL_APPLICATION": "bench/peer_vigil/vigil_application.py:bench",
    # All load comes from this machine.
    "VIGIL_CONNECTIONS_PER_ADDRESS": "0",
    "VIGIL_LOG_LEVEL": "warning",
    # The other peers send no mail; in production, `server.py worker` would run the jobs beside a loaded node.
    "VIGIL_JOBS": "off",
    "VIGIL_DEMO": "off",
}


def vigil_environ() -> dict[str, str]:
    """Return the environment of the bench's Vigil processes."""
    own = {name: os.environ[source] for name, source in OF_BENCH.items() if source in os.environ}
    # Off, unless a scenario enables them.
    return dict(os.environ) | {"VIGIL_RATE_LIMITS": "off"} | own | FIXED
