"""All rows, in the order of the table."""

from bench.faults.redis_rows import REDIS_ROWS

ROWS = [*REDIS_ROWS]
