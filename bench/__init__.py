"""`make bench`: the cost of each server operation, for Vigil and its peers (README.md)."""
