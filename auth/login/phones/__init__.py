"""Login with a code sent by SMS, and management of a user's phone number."""
