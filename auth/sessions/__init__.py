"""Sessions: start, refresh, rotate, revoke. Authentication of the user is elsewhere (auth/login, auth/factors)."""
