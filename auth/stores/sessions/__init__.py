"""The collection `sessions`: documents, rotations, roles, limits and hooks."""
