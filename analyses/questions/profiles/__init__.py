"""What attention goes to, over layers and kinds of words."""
