"""What the guide calls and leaves to its readers: many samples together, and charts of a cell."""
