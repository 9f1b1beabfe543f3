"""Which of several things that were measured in the same samples is the highest, and which are about the same.

A ranking of means is a claim like any other: where nothing differs some mean is the highest all the same. So every pair
is compared within samples (mean difference with CR2 errors by cluster, and signed normal scores; the larger p counts),
adjusted by Holm over all pairs, because which pair is looked at depends on the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analyses.inference.adjusted.coefficients import LastCoefficient, design_of
from analyses.inference.multiplicity import adjust_pvalues
from analyses.inference.ranks import signed_scores


@dataclass(frozen=True)
class Pairs:
    """Paired comparisons of ``[things]``.

    Attributes
    ----------
    pvalue
        ``[things, things]`` symmetric, not adjusted, NaN where a pair cannot be compared: too few clusters, or the same
        difference in every sample; 1 where that is 0.
    """

    pvalue: np.ndarray

    def adjusted(self) -> np.ndarray:
        """Return the p-values adjusted by Holm over all pairs, symmetric; NaN where there is none, 1 for itself."""
        size = len(self.pvalue)
        above = np.triu_indices(size, 1)
        found = np.ones((size, size))
        found[above] = adjust_pvalues(self.pvalue[above], "holm")
        return np.minimum(found, found.T)


def compare_pairs(values: np.ndarray, cluster: np.ndarray) -> Pairs:
    """Compare every two columns of ``[samples, things]`` within the samples that have both.

    Parameters
    ----------
    values
        NaN where a sample has no value.
    cluster
        ``[samples]`` any labels.
    """
    size = values.shape[1]
    pvalue = np.full((size, size), np.nan)
    regressions: dict[bytes, LastCoefficient] = {}
    for one, other in combinations(range(size), 2):
        change = values[:, one] - values[:, other]
        known = ~np.isnan(change)
        if known.sum() < 2 or np.ptp(change[known]) == 0:
            is_equal = known.any() and not change[known].any()
            pvalue[one, other] = pvalue[other, one] = 1.0 if is_equal else np.nan
            continue
        samples = known.tobytes()  # pairs of the same samples share a design
        if samples not in regressions:
            design = design_of([], np.ones(int(known.sum())))
            assert design is not None, "ones are not collinear with nothing"
            regressions[samples] = LastCoefficient(design, cluster[known])
        both = np.column_stack([change[known], signed_scores(change[known, None])])
        pvalue[one, other] = pvalue[other, one] = regressions[samples].fit(both).pvalue.max()
    return Pairs(pvalue)
