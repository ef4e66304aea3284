"""The receiver in a process of its own, and the channel that steers it."""
