"""Request and response schemas of the JSON API, used for validation and OpenAPI."""
