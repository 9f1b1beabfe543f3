"""What differs between groups of samples, head by head."""
