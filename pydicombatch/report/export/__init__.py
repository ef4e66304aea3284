"""Elements of all stored instances as one table, read from their headers by all cores."""
