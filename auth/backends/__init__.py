"""Operations of applications' backends, called with a server key: keys, sessions, presence, users, messages."""
