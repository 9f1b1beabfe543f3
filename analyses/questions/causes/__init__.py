"""What interventions on heads do to the answer, and whether attention foretells it."""
