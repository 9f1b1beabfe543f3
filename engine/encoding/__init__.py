"""Samples → tokens, token groups and the decision."""
