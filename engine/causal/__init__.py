"""What changes mean: attribution, gradients, ablation, amplification, patching and knockouts, sample by sample."""
