"""The vocabulary every other package shares; no I/O."""
