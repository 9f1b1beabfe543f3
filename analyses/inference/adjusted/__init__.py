"""The adjusted, cluster-robust model: design, errors, effects, max-T, detectable effects."""
