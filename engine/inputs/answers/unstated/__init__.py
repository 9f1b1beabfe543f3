"""Labels that an answer names without stating them: denied over lines, given a probability, listed, of other keys."""
