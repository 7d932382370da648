"""The server's Prometheus metrics, created once by the composition root.

Of several workers on one port, a scrape reaches any one, so each exports the values of all: prometheus_client
keeps them in files in a shared directory (`PROMETHEUS_MULTIPROC_DIR`, set by `serve --workers`).

Rates and alerts need a series to exist before its first event: components create all label values of a closed
set at start, so that the first scrape shows them.
"""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """All metrics, on a registry of their own, so that two nodes in one process stay separate."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = CollectorRegistry()
        shared = os.environ.get(SHARED_DIRECTORY)
        self._exported = CollectorRegistry() if shared else registry
        if shared:
            MultiProcessCollector(self._exported, path=shared)  # type: ignore[no-untyped-call]
            self._exported.register(WorkersCollector(Path(shared)))
        else:
            ProcessCollector(registry=registry)
        PlatformCollector(registry=self._exported)
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.requests = counter("vigil_http_requests", "HTTP responses", ["method", "route", "status"])
        self.request_seconds = histogram("vigil_http_request_seconds", "Time to an HTTP response", ["route"])
        self.logins = counter("vigil_logins", "Logins by outcome", ["outcome"])
        self.refreshes = counter("vigil_refreshes", "Refreshes by outcome", ["outcome"])
        self.risks = counter("vigil_risks", "Risk signals of logins and refreshes, by kind", ["kind"])
        self.approvals = counter(
            "vigil_approvals", "Login approval requests and their answers, by outcome", ["outcome"]
        )
        self.approval_pushes = counter(
            "vigil_approval_pushes", "Approval requests pushed to devices, by outcome", ["outcome"]
        )
        self.rate_limited = counter("vigil_rate_limited", "Rate-limited requests by limit", ["limit"])
        self.jobs_queued = gauge(
            "vigil_jobs_queued", "Background jobs waiting", multiprocess_mode="livemostrecent"
        )
        self.jobs = counter("vigil_jobs", "Background jobs by outcome", ["job", "outcome"])
        self.facts = counter("vigil_facts", "Facts numbered by this node")
        self.facts_delayed = counter(
            "vigil_facts_delayed", "Failures to follow MongoDB's log, tried again each second"
        )
        self.webhook_requests = counter(
            "vigil_webhook_requests", "Requests to webhook endpoints by outcome", ["outcome"]
        )
        self.sockets = gauge("vigil_sockets", "Live sockets on this node", multiprocess_mode="livesum")
        self.handshakes = counter("vigil_handshakes", "Socket handshakes by outcome", ["outcome"])
        self.socket_events = counter("vigil_socket_events", "Client events by outcome", ["event", "outcome"])
        self.application_seconds = histogram(
            "vigil_application_seconds", "Time to an answer of the application's URL", ["outcome"]
        )
        self.floods = counter("vigil_socket_floods", "Connections closed for exceeding their traffic allowance")
        self.slow_readers = counter("vigil_slow_readers", "Sockets dropped because they did not read")
        self.revocation_to_close = histogram(
            "vigil_revocation_to_close_seconds",
            "From the revocation to the socket's close",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.bus_lag = gauge(
            "vigil_bus_lag_seconds",
            "Round-trip time of the node's last heartbeat through the bus",
            multiprocess_mode="livemax",
        )
        self.bus_deaf = gauge(
            "vigil_bus_deaf", "1 while the node does not receive its own heartbeat", multiprocess_mode="livemax"
        )
        self.bus_forged = counter("vigil_bus_forged", "Messages and events in Redis that no node has sent")
        self.bus_events = counter("vigil_bus_events", "Events received from the bus by kind", ["event"])

    @staticmethod
    def begin(counter: Counter, *values: str) -> None:
        """Create `counter`'s series for each of these values of its single label, starting at 0."""
        for value in values:
            counter.labels(value)

    def render(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._exported)


class WorkersCollector(Collector):
    """Process metrics of all workers that share `directory`: sums, and the earliest start time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """The standard process metrics, aggregated over the live workers."""
        aggregated: dict[str, Metric] = {}
        for pid in self._workers():
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                known = aggregated.setdefault(metric.name, metric)
                if known is not metric:
                    join = min if metric.name == "process_start_time_seconds" else sum
                    (mine,), (other,) = known.samples, metric.samples
                    known.samples = [mine._replace(value=join((mine.value, other.value)))]
        return aggregated.values()

    def _workers(self) -> list[int]:
        # Every worker creates this gauge file at start; `mark_process_dead` removes it.
        return sorted(int(file.stem.rpartition("_")[2]) for file in self._directory.glob("gauge_livesum_*.db"))
