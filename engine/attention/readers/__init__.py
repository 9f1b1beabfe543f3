"""What is read of patterns beside their rows' statistics: how an answer reads, what keys receive, strongest keys."""
