"""What each key carries through each head towards the answer, in right and in wrong predictions."""
