"""What a row has beside its label: choices, scores, a free answer, and whether it is right."""
