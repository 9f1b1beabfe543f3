"""Encoded samples → units of work, and what they will take."""
