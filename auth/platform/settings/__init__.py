"""Settings: read once from `VIGIL_…` variables, validated, frozen."""
