"""The HTTP API: routes parse a request, call an operation and build the response."""
