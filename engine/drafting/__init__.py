"""A config drafted from a file: which of its fields mean what, which labels there are, where the answer stands."""
