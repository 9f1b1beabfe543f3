"""Questions that were written down before the data was looked at."""
