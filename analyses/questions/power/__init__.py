"""How small a difference this many samples could show."""
