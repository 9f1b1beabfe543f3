"""Queries over a run's tables: what ``analyses.query`` lets through."""
