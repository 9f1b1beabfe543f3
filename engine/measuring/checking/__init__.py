"""The check before measuring: what is measured equals what the model itself computes, or nothing is."""
