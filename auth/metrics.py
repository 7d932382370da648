"""The server's Prometheus instruments, made once by the composition root and handed to who counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector


class Metrics:
    """Every instrument, on a registry of its own: two nodes in one process do not mix."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry
        self.requests = Counter(
            "vigil_http_requests", "HTTP answers", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "vigil_http_request_seconds", "Time to an HTTP answer", ["route"], registry=registry
        )
        self.logins = Counter("vigil_logins", "Logins by outcome", ["outcome"], registry=registry)
        self.refreshes = Counter("vigil_refreshes", "Refreshes by outcome", ["outcome"], registry=registry)
        self.risks = Counter(
            "vigil_risks", "What was odd about logins and refreshes, by kind", ["kind"], registry=registry
        )
        self.approvals = Counter(
            "vigil_approvals",
            "Logins that devices were asked about, and their answers",
            ["outcome"],
            registry=registry,
        )
        self.approval_pushes = Counter(
            "vigil_approval_pushes", "Requests shown on devices by outcome", ["outcome"], registry=registry
        )
        self.rate_limited = Counter("vigil_rate_limited", "Refusals by limit", ["limit"], registry=registry)
        self.jobs_queued = Gauge("vigil_jobs_queued", "Background jobs waiting", registry=registry)
        self.jobs = Counter("vigil_jobs", "Background jobs by outcome", ["job", "outcome"], registry=registry)
        self.sockets = Gauge("vigil_sockets", "Live sockets on this node", registry=registry)
        self.handshakes = Counter(
            "vigil_handshakes", "Socket handshakes by outcome", ["outcome"], registry=registry
        )
        self.socket_events = Counter(
            "vigil_socket_events", "Client events by outcome", ["event", "outcome"], registry=registry
        )
        self.slow_readers = Counter(
            "vigil_slow_readers", "Sockets dropped because they did not read", registry=registry
        )
        self.revocation_to_close = Histogram(
            "vigil_revocation_to_close_seconds",
            "From the revocation to the socket's close",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.bus_lag = Gauge(
            "vigil_bus_lag_seconds", "How long the node's last heartbeat took through the bus", registry=registry
        )
        self.bus_deaf = Gauge(
            "vigil_bus_deaf", "1 while the node does not hear its own heartbeat", registry=registry
        )
        self.bus_events = Counter("vigil_bus_events", "Events off the bus by kind", ["event"], registry=registry)

    def render(self) -> bytes:
        """The text exposition of every instrument."""
        return generate_latest(self._registry)
