"""A node as a process: composition root, commands, workers. Imported only by server.py, bench and tests."""
