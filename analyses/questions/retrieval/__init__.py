"""Which heads fetch what is written from the prompt, and do they in right as in wrong predictions."""
