"""One file per collection; the only place that imports the MongoDB driver."""
