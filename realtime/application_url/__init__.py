"""An application behind a URL: posts client events and hooks to a backend, and carries its answers out."""
