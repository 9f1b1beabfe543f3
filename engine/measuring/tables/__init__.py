"""A unit's measurements as Arrow tables."""
