"""Predictions in JSON: a document, lines, lists and objects one after another."""
