"""How one layer's attention is computed together with its statistics: blocked, tiled, fused."""
