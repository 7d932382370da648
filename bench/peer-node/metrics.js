/** Prometheus instruments. Label sets are resolved once: a hot path only adds to a child it already holds. */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'peer_http_requests_total', help: 'HTTP answers', labelNames: ['route', 'status'], registers,
  });
  const seconds = new Histogram({
    name: 'peer_http_request_seconds', help: 'Time to an HTTP answer', labelNames: ['route'], registers,
  });
  const sockets = new Gauge({ name: 'peer_sockets', help: 'Live sockets on this node', registers });
  const events = new Counter({
    name: 'peer_socket_events_total', help: 'Client events', labelNames: ['event', 'outcome'], registers,
  });
  const handshakes = new Counter({
    name: 'peer_handshakes_total', help: 'Socket handshakes', labelNames: ['outcome'], registers,
  });

  const children = (metric) => {
    const known = new Map();
    return (...labels) => {
      const key = labels.join('|');
      let child = known.get(key);
      if (!child) known.set(key, (child = metric.labels(...labels)));
      return child;
    };
  };
  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    requests: children(requests),
    seconds: children(seconds),
    events: children(events),
    handshakes: children(handshakes),
    sockets,
  };
}
