"""All rows, in the order of the table."""

from bench.faults.client_rows import CLIENT_ROWS
from bench.faults.clock_rows import CLOCK_ROWS
from bench.faults.directory_rows import DIRECTORY_ROWS
from bench.faults.failover_rows import FAILOVER_ROWS
from bench.faults.forgery_rows import FORGERY_ROWS
from bench.faults.loss_rows import LOSS_ROWS
from bench.faults.mongo_rows import MONGO_ROWS
from bench.faults.node_rows import NODE_ROWS
from bench.faults.redis_rows import REDIS_ROWS
from bench.faults.return_rows import RETURN_ROWS

ROWS = [
    *REDIS_ROWS,
    *FAILOVER_ROWS,
    *MONGO_ROWS,
    *NODE_ROWS,
    *RETURN_ROWS,
    *CLIENT_ROWS,
    *CLOCK_ROWS,
    *LOSS_ROWS,
    *DIRECTORY_ROWS,
    *FORGERY_ROWS,
]
