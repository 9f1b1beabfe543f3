"""Explains: from Parquet tables to tests, charts and a report."""
