"""What an answer states: which configured label, by which rule, at which characters."""
