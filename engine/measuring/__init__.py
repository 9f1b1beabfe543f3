"""A packed batch of samples → statistics → Arrow tables."""
