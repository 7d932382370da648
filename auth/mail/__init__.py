"""Mail: composing messages from templates, and sending them."""
