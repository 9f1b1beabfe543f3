"""One file per input format: bytes → records."""
