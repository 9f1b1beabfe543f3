"""Regressions of ranks on the ranks of one target: what they share whatever the statistic, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyses.inference.adjusted.coefficients import LastCoefficient, design_of
from analyses.inference.adjusted.design import Design
from analyses.inference.ranks import rank_columns


@dataclass(frozen=True)
class Models:
    """Regressions on one target over one set of samples, whatever the statistic.

    Attributes
    ----------
    plain, partial, fixed
        With nothing else, the covariates, and what is held fixed too; None where there is nothing more to hold, or
        where it leaves nothing of the target.
    scales
        Of their designs, for ``rho_partial`` and ``rho_fixed``.
    fullest
        The design with the most in it.
    codes
        ``[samples]`` clusters 0..clusters-1.
    is_explained
        Whether what is held fixed leaves nothing of the target.
    """

    plain: LastCoefficient
    partial: LastCoefficient | None
    fixed: LastCoefficient | None
    scales: tuple[float, float]
    fullest: Design
    codes: np.ndarray
    is_explained: bool


def models_of(
    target: np.ndarray, cluster: np.ndarray, covariates: Sequence[np.ndarray], held: Sequence[np.ndarray]
) -> Models:
    """Return the regressions on a target that varies; the other columns too are ``[samples]``, without NaN."""
    ones, ranked = np.ones(len(target)), unit_ranks(target[:, None])[:, 0]
    ranks = [unit_ranks(column[:, None])[:, 0] for column in covariates if np.ptp(column) > 0]
    varying = [column for column in held if np.ptp(column) > 0]
    design = design_of([ones], ranked)
    assert design is not None, "a target that varies is not collinear with the intercept"
    partial = design_of([ones, *ranks], ranked) if ranks else None
    fixed = design_of([ones, *ranks, *varying], ranked) if varying else None
    return Models(
        LastCoefficient(design, cluster),
        partial and LastCoefficient(partial, cluster),
        fixed and LastCoefficient(fixed, cluster),
        (partial.scale if partial else np.nan, fixed.scale if fixed else np.nan),
        fixed or partial or design,
        np.unique(cluster, return_inverse=True)[1],
        bool(varying) and fixed is None,
    )


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Return each column's ranks (ties share theirs), centred, of unit length; ``[samples, tests]`` without NaN."""
    ranks = rank_columns(values).doubled - (len(values) - 1.0)
    ranks /= np.sqrt(np.einsum("ij,ij->i", ranks, ranks))[:, None]
    return np.ascontiguousarray(ranks.T)
