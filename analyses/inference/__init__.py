"""Statistics on arrays; knows no run and no table."""
