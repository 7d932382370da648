"""Faults: breaks real processes, one row of docs/reliability.md at a time, and measures what Vigil promises."""
