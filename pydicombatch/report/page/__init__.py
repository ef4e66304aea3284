"""The HTML report: one page that holds all it needs."""
