"""The bench's environment in Vigil's own settings."""

import os

OF_BENCH = {
    "VIGIL_PORT": "BENCH_PORT",
    "VIGIL_MONGO_URL": "BENCH_MONGO_URL",
    "VIGIL_MONGO_DATABASE": "BENCH_DATABASE",
    "VIGIL_REDIS_URL": "BENCH_REDIS_URL",
    "VIGIL_REDIS_PREFIX": "BENCH_PREFIX",
    "VIGIL_SECRET_KEY": "BENCH_SECRET",
    "VIGIL_ACCESS_TOKEN_SECONDS": "BENCH_TOKEN_SECONDS",
}
FIXED = {
    "VIGIL_MONGO_DRIVER": "pymongo",
    "VIGIL_APPLICATION": "bench/peer_vigil/vigil_application.py:bench",
    "VIGIL_RATE_LIMITS": "off",
    "VIGIL_LOG_LEVEL": "warning",
    # The other peers send no mail either; `server.py worker` would run beside a node that is under load.
    "VIGIL_JOBS": "off",
    "VIGIL_DEMO": "off",
}


def vigil_environ() -> dict[str, str]:
    """Everything a Vigil process of this bench is started with."""
    own = {name: os.environ[source] for name, source in OF_BENCH.items() if source in os.environ}
    return dict(os.environ) | own | FIXED
