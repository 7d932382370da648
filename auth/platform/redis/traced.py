"""Redis with a span for each call that is made within a trace."""

from typing import Any

from auth.platform.redis.link import RedisLink
from auth.platform.redis.wire import Argument
from auth.platform.tracing import Tracing, failures_of


class TracedRedisLink(RedisLink):
    """A `RedisLink` whose calls have spans, named by the command. Keys and arguments are not recorded."""

    def __init__(self, tracing: Tracing, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._tracing = tracing

    async def execute(self, *command: Argument) -> Any:
        """See `RedisLink.execute`."""
        span = self._tracing.store_call("redis", str(command[0]))
        if span is None:
            return await super().execute(*command)
        try:
            with failures_of(span):
                return await super().execute(*command)
        finally:
            span.end()
