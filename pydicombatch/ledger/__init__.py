"""The durable state of an extraction: one SQLite file, written by one process."""
