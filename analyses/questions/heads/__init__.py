"""What kind of head each is, and the details of one head."""
