"""Answers of a model to prompts that have none."""
