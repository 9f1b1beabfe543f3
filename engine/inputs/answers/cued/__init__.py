"""What an answer states behind a cue, how it takes it back, and values of cues that are no label."""
