"""Parts of the config's ``causal`` section, by method, and what all have in common (``method.py``)."""
