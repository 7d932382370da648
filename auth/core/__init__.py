"""Types, errors, events, time and text: pure code, no I/O, no imports from other packages of this project."""
