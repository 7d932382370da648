"""Infrastructure: settings, logs, metrics, Redis, rate limits, periodic tasks."""
