"""Rows as a config means them: joined with other files, with nested fields by their paths, one answer each."""
