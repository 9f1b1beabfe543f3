"""A run as a local application: all samples, one sample, one head, SQL; ``analyses.view`` serves it."""
