"""Where workers run: in this process, or over Ray."""
