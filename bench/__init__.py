"""`make bench`: what each thing a server does costs, Vigil beside its peers (README.md)."""
