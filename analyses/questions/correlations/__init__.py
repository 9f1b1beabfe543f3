"""What goes with certainty, probability, magnitude and the like."""
