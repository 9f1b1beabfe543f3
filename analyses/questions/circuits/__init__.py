"""Circuits: which edges between heads carry the answer, and how much of it the strongest of them recover."""
