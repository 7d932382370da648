"""Vigil as a peer of the bench: the real server, with the bench's application."""
