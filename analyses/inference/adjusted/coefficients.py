"""One coefficient of many regressions on the same columns, with errors that allow for clusters of samples.

What the average of a contrast over samples (an intercept alone) and a rank correlation (a slope) have in common. The
errors are those of ``inference.adjusted.cluster_errors``: CR2 (Bell and McCaffrey 2002) with Satterthwaite's degrees of
freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from analyses.inference.adjusted.cluster_errors import ClusterErrors, cluster_errors, why_unreliable
from analyses.inference.adjusted.design import RANK_TOLERANCE, Design
from analyses.inference.adjusted.max_t import flip
from analyses.inference.columns import constant_columns

EXACT = 1e-12
"""Values of which less than this share (of squares) is left outside the columns vary by float32 rounding alone."""


@dataclass(frozen=True)
class Coefficients:
    """The last column's coefficient in each regression; arrays ``[tests]``, NaN where undefined.

    Attributes
    ----------
    effect, standard_error
        In the unit of the values over the unit of the last column.
    pvalue
        Two-sided, of Student's t with ``degrees_of_freedom``.
    residual_length
        Euclidean length of the values' part outside all columns but the last.
    degrees_of_freedom
        Satterthwaite's, the same for every test of a design.
    note
        Why no p-value can be given, for every test of the design; else empty.
    """

    effect: np.ndarray
    standard_error: np.ndarray
    pvalue: np.ndarray
    residual_length: np.ndarray
    degrees_of_freedom: float
    note: str


def design_of(columns: Sequence[np.ndarray], last: np.ndarray) -> Design | None:
    """Return the orthonormal basis of ``columns`` and, outside them, ``last``; None when nothing of it is outside.

    Columns that are collinear with those before them are left out.
    """
    basis: list[np.ndarray] = []
    for column in [*columns, last]:
        outside = column - sum((part * (part @ column) for part in basis), np.zeros_like(column))
        length = float(np.linalg.norm(outside))
        if length > RANK_TOLERANCE * max(float(np.linalg.norm(column)), np.finfo(float).tiny):
            # Twice is enough (Kahan, Parlett): one pass of Gram-Schmidt leaves rounding in nearly collinear columns.
            outside = outside - sum((part * (part @ outside) for part in basis), np.zeros_like(column))
            basis.append(outside / np.linalg.norm(outside))
        elif column is last:
            return None
    return Design(np.column_stack(basis), float(basis[-1] @ last), (), ())


class LastCoefficient:
    """Regressions on one design with one set of clusters: what their errors need is worked out once."""

    def __init__(self, design: Design, cluster: np.ndarray) -> None:
        self._design = design
        codes = np.unique(cluster, return_inverse=True)[1]
        self._robust, self._note = _errors(design, codes)
        if self._robust is not None and not self._note:
            shape = (codes.max() + 1, len(codes))
            # Sums over clusters of weight x residual, without ever forming the residuals.
            self._weighted = sparse.csr_array((self._robust.weights, (codes, np.arange(len(codes)))), shape=shape)

    def fit(self, values: np.ndarray, total: np.ndarray | None = None) -> Coefficients:
        """Return the last coefficient of every column of ``values``, as ``fit_last`` does.

        ``total`` are the sums of squares of ``values``, ``[tests]``, where they are known already.
        """
        design, robust = self._design, self._robust
        loadings = design.basis.T @ values
        effect = loadings[-1] / design.scale
        squares = np.einsum("ij,ij->j", values, values) if total is None else total
        length = np.sqrt(np.maximum(squares - (loadings[:-1] ** 2).sum(axis=0), 0.0))
        if robust is None or self._note:
            missing = np.full(values.shape[1], np.nan)
            freedom = float("nan") if robust is None else robust.degrees_of_freedom
            return Coefficients(effect, missing, missing, length, freedom, self._note)
        scores = self._weighted @ values - np.einsum("gk,kt->gt", robust.overlap, loadings)
        error = np.sqrt(np.einsum("ij,ij->j", scores, scores)) / design.scale
        is_fitted = length**2 - loadings[-1] ** 2 <= EXACT * squares
        error = np.where(is_fitted | (error <= 0), np.nan, error)
        pvalue = 2 * stats.t.sf(np.abs(effect / error), robust.degrees_of_freedom)
        return Coefficients(effect, error, pvalue, length, robust.degrees_of_freedom, "")


def fit_last(values: np.ndarray, design: Design, cluster: np.ndarray) -> Coefficients:
    """Regress every column of ``values`` on the design and test its last coefficient against 0.

    effect = qᵀy / scale, standard error = (Σ_g (Σ_{i in g} w_i e_i)²)^½ / scale with the CR2 weights w.

    Parameters
    ----------
    values
        ``[samples, tests]`` without NaN.
    design
        Of ``design_of``.
    cluster
        ``[samples]`` any labels.

    Returns
    -------
    Coefficients
        p-values are NaN for constant values, and for every test where the clusters cannot carry one.
    """
    return LastCoefficient(design, cluster).fit(values)


def flipped_means(values: np.ndarray, cluster: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return T* of every column's mean when all samples of a cluster are turned round together.

    Parameters
    ----------
    values
        ``[samples, tests]`` without NaN.
    cluster
        ``[samples]``, indices into the columns of ``signs``.
    signs
        ``[permutations, clusters]`` as from ``inference.adjusted.max_t.random_signs``.

    Returns
    -------
    ndarray
        ``[permutations, tests]``; 0 where no error can be estimated.
    """
    design = design_of([], np.ones(len(values)))
    assert design is not None, "ones are not collinear with nothing"
    present, codes = np.unique(cluster, return_inverse=True)
    robust, note = _errors(design, codes)
    if robust is None or note:
        return np.zeros((len(signs), values.shape[1]))
    varies = ~constant_columns(values)
    result = np.zeros((len(signs), values.shape[1]))
    if varies.any():
        result[:, varies] = flip(values[:, varies], design, robust, signs[:, present])
    return result


def _errors(design: Design, codes: np.ndarray) -> tuple[ClusterErrors | None, str]:
    """Return what the errors need, or why there can be none."""
    if codes.max(initial=-1) < 1:
        return None, "fewer than two clusters"
    if design.basis.shape[0] <= design.basis.shape[1]:
        return None, "no more samples than terms in the model"
    robust = cluster_errors(design, codes)
    return robust, why_unreliable(robust.degrees_of_freedom, "clusters", "it", robust.dominance)
