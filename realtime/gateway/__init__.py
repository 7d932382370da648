"""A socket's life: handshake, events, expiry, disconnect."""
