"""A replica at work on units, and its journal."""
