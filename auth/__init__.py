"""Who you are: identities, credentials, sessions and tokens. Knows nothing of sockets."""
