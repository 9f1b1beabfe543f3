"""Frames → Altair charts, by shape; computes nothing."""
