"""Embedded MongoDB and Redis, run as child processes."""
