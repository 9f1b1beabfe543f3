"""What a plan says, as typed records, and the files that it is kept in."""
