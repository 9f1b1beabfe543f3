"""What was run and how well the model did."""
