"""Administration: user search, roles, account locks, ending sessions."""
