"""Whether heads fetch what is written next, and write what they look at."""
