"""Thoughts: what a model wrote before its answer, by their marks in a text or in fields of their own."""
