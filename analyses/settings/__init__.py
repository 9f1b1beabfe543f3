"""What an analysis and its charts may be told."""
