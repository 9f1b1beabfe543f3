"""A model's run with something changed: heads edited, keys hidden, parts recomputed."""
