"""What happens to an instance between its arrival and its place."""
