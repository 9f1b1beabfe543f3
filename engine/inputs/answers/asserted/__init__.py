"""What prose has to say for a label to be stated, and what a question that is answered yes states."""
