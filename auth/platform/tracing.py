"""Traces with OpenTelemetry, sent to the receiver that the standard `OTEL_…` variables of the environment name.

Imported only if tracing is on (`runtime/provision.py`). HTTP requests, events of sockets and background jobs begin
or continue a trace; calls of the stores are recorded only within one. Spans carry names, methods, routes and
outcomes, and never a query, a body, a statement or the message of an exception: those can contain secrets.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from auth.core.version import version

# A stopping node waits this long for the receiver to take the last spans.
FLUSH_SECONDS = 2.0
KINDS = {"request": SpanKind.SERVER, "event": SpanKind.SERVER, "job": SpanKind.CONSUMER}


class Tracing:
    """Creates spans and sends them in the background. A receiver that is down costs spans, never a request."""

    def __init__(self) -> None:
        names = {
            "service.name": "vigil",
            "service.version": version(),
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        }
        # The environment wins: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
        resource = Resource.create(names).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("vigil", version())
        self._propagator = TraceContextTextMapPropagator()

    def parent_in(self, carrier: Mapping[str, str]) -> Context:
        """The caller's trace, from `traceparent` and `tracestate` in `carrier`; an empty context without them."""
        return self._propagator.extract(carrier, context=Context())

    def carrier(self) -> dict[str, str]:
        """The current trace as `traceparent` and `tracestate`, for `parent_in` in another process."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    @contextmanager
    def entry(
        self, kind: Literal["request", "event", "job"], name: str, parent: Context, **attributes: str
    ) -> Iterator[Span]:
        """A span that begins this node's part of a trace, around a `with` block."""
        span = self._tracer.start_span(name, parent, KINDS[kind], attributes)
        use = trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)
        with use, failures_of(span):
            yield span

    def store_call(self, system: str, name: str, **attributes: str) -> Span | None:
        """Begin the span of a call to a store; the caller ends it. None outside of a recorded trace."""
        if not trace.get_current_span().is_recording():
            return None
        attributes = {"db.system.name": system, **attributes}
        return self._tracer.start_span(name, None, SpanKind.CLIENT, attributes)

    @staticmethod
    def ids_of(span: Span) -> dict[str, str]:
        """The fields of log lines that lead to the span's trace."""
        context = span.get_span_context()
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }

    async def close(self) -> None:
        """Send the last spans, for at most `FLUSH_SECONDS`."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(sent.set)

        # A daemon: a receiver that does not answer must not delay the end of the process.
        threading.Thread(target=shut_down, daemon=True, name="traces-flush").start()
        try:
            await asyncio.wait_for(sent.wait(), FLUSH_SECONDS)
        except TimeoutError:
            return


@contextmanager
def failures_of(span: Span) -> Iterator[None]:
    """Record an exception by the name of its class only, and raise it on."""
    try:
        yield
    except BaseException as error:
        fail(span, type(error).__name__)
        raise


def fail(span: Span, error: str) -> None:
    """Mark a span as failed. `error`: a class name or code."""
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)
