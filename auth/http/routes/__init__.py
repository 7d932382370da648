"""Endpoints of the JSON API: parse the request, call an operation, build the response."""
