"""Second factors: registry, authenticator app, recovery codes, step-up."""
