"""Edges between heads: linearised, verified by path patching, and what a circuit of them recovers."""
