"""Spans of the commands that MongoDB gets within a trace."""

from opentelemetry.trace import Span
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from auth.platform.tracing import Tracing, fail

# More than a client has connections. The driver reports no end of a command whose caller was cancelled.
MOST_OPEN = 1000


class CommandSpans(CommandListener):
    """Gives each command a span, named by command and collection. Its filter and documents are not recorded."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Part of `CommandListener`: called in the task, or a copy of its context, that sends the command."""
        target = event.command.get(event.command_name)
        collection = target if isinstance(target, str) else ""
        span = self._tracing.store_call(
            "mongodb",
            f"{event.command_name} {collection}".strip(),
            **{"db.namespace": event.database_name, "db.operation.name": event.command_name},
            **({"db.collection.name": collection} if collection else {}),
        )
        if span is None:
            return
        self._open[event.request_id] = span
        if len(self._open) > MOST_OPEN:
            self._open.pop(next(iter(self._open))).end()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Part of `CommandListener`."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """Part of `CommandListener`."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            # Never the message: it can contain values, such as an address that is taken.
            fail(span, str(event.failure.get("codeName") or event.failure.get("errtype", "error")))
            span.end()
