"""Redis: a pipelined connection for commands and scripts, a connection for subscriptions, and a circuit
breaker.
"""
