"""Processes that an inline driver starts, and sees the end of."""
