"""The live side in Redis: bus, log, deny-list and presence. Only this package knows its keys and scripts."""
