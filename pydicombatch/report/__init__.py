"""What people read: the CSV of results."""
