"""The computer underneath: files that appear whole, locks, memory, devices, nodes."""
