"""The HTTP server below the routes: connections, middlewares, limits and timeouts."""
