"""The attention function that reduces patterns to statistics while the model runs."""
