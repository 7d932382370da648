"""Keys, tokens, password hashes and sealed secrets. Uses no store and no transport."""
