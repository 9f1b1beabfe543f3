"""Whether labels can be predicted from heads, on companies kept apart."""
