"""Measures: from a predictions file to Parquet tables."""
