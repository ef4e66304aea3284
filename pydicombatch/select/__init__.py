"""Which entities of the archive a row means: conditions, drill-down, limits. Pure."""
