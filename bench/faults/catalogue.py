"""All rows, in the order of the table."""

from bench.faults.directory_rows import DIRECTORY_ROWS
from bench.faults.failover_rows import FAILOVER_ROWS
from bench.faults.mongo_rows import MONGO_ROWS
from bench.faults.node_rows import NODE_ROWS
from bench.faults.redis_rows import REDIS_ROWS

ROWS = [*REDIS_ROWS, *FAILOVER_ROWS, *MONGO_ROWS, *NODE_ROWS, *DIRECTORY_ROWS]
