"""Groups of tokens: what a config names, what is built in, what is drawn at random, and what is refused."""
