"""Parts of the config's ``causal`` section that stand apart: what all have in common, and circuits."""
