"""What is asked of a run: one folder per question with its answer, sentences and figures."""
