"""Login methods: each verifies a first factor, then `admission` starts a session or requests a second factor."""
