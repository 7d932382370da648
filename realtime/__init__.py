"""The live side: sockets, presence and the push bus."""
