"""Recorded token ids: read, told apart, compared with the text that they should stand for."""
