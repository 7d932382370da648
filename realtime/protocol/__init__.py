"""The live socket's messages and their AsyncAPI document."""
