"""A run directory, opened: tables, values, key groups."""
