"""What a plan does with each row: in this process, or in several that help it."""
