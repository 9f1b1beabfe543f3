"""A model where it computes: what its config says, loading, placement, its parts."""
