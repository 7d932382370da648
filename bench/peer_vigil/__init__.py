"""Vigil as a peer of the bench: the real server, with the bench's events as its application."""
