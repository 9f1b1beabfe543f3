"""Answers → page, text, JSON and files."""
