"""Whether wrong answers read what stands before them otherwise, and whether other tokens or sentences receive."""
