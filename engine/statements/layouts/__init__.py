"""How tables are set: between pipes, tabs or tags, with blanks, and in ways that are not read."""
