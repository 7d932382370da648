"""HTML pages and API documents rendered by the server."""
