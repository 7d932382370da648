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
    "VIGIL_JOBS": "BENCH_JOBS",
}
FIXED = {
    "VIGIL_APPLICATION": "bench/peer_vigil/vigil_application.py:bench",
    # All load comes from this machine.
    "VIGIL_CONNECTIONS_PER_ADDRESS": "0",
    "VIGIL_LOG_LEVEL": "warning",
    "VIGIL_DEMO": "off",
    # Endpoints of webhooks are on this machine, too.
    "VIGIL_WEBHOOKS_PRIVATE": "on",
}


def vigil_environ() -> dict[str, str]:
    """Return the environment of the bench's Vigil processes."""
    own = {name: os.environ[source] for name, source in OF_BENCH.items() if source in os.environ}
    # Off, unless a scenario enables them: the other peers have neither mail nor facts, and in production
    # `server.py worker` would run the jobs beside a loaded node.
    off = {"VIGIL_RATE_LIMITS": "off", "VIGIL_JOBS": "off"}
    return dict(os.environ) | off | own | FIXED
