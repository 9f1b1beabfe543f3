"""Results of a run, sample by sample, in the forms of the tools whose logs were measured."""
