"""The HTTP side: routes parse, call an operation and answer."""
