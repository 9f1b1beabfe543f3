"""The fused backend: its kernels in Triton, what they read of a packed row, and their launches."""
