"""Login with a passkey (WebAuthn), and management of a user's passkeys."""
