"""The live side: sockets, presence and the bus between nodes."""
