"""The test this project quotes: a group difference adjusted for what else differs, with errors clustered by company.

"Incorrect" also means "said the other label" and "longer or shorter". So each statistic is regressed by ordinary
least squares on the group, the effect-coded predicted label, their interaction and covariates, and samples of one
cluster may be correlated (CR1 errors, Student's t with clusters - 1 degrees of freedom). Labels are centred at their
sample mean, which makes the coefficient of the group the average marginal effect over the samples at hand.

Family-wise error over all tests is controlled by max-T (Westfall and Young 1993): residuals of the model without the
group (Freedman and Lane 1983) are multiplied by one random sign per cluster, the same signs for every test (Cameron,
Gelbach and Miller 2008), and every test is studentised again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analyses.significance import cluster_sums, constant_columns, missing_patterns

RANK_TOLERANCE = 1e-8
"""A column whose part outside the other columns is shorter than this share of it is collinear."""

PERMUTATION_BLOCK = 256
"""Tests per matrix product of max-T; keeps a block of 1,000 sign flips near 20 MB."""


@dataclass(frozen=True)
class Samples:
    """What the model knows of each sample.

    Attributes
    ----------
    is_a
        ``[samples]`` booleans, the group.
    cluster
        ``[samples]`` codes 0..clusters-1.
    labels
        ``[samples]`` predicted labels (any strings), or None to leave the label out.
    covariates
        Name to ``[samples]`` numbers without NaN.
    """

    is_a: np.ndarray
    cluster: np.ndarray
    labels: np.ndarray | None
    covariates: Mapping[str, np.ndarray]

    def take(self, rows: np.ndarray) -> Samples:
        """Return the chosen samples; cluster codes stay as they are."""
        labels = None if self.labels is None else self.labels[rows]
        covariates = {name: column[rows] for name, column in self.covariates.items()}
        return Samples(self.is_a[rows], self.cluster[rows], labels, covariates)


@dataclass(frozen=True)
class Design:
    """An orthonormal basis of the model's columns.

    Attributes
    ----------
    basis
        ``[samples, columns]`` orthonormal; the last column is the group's part outside all other terms.
    scale
        Length of that part: effect = basis[:, -1]ᵀ y / scale.
    terms, dropped
        Names of the terms in the model, and of those left out because they are constant or collinear.
    """

    basis: np.ndarray
    scale: float
    terms: tuple[str, ...]
    dropped: tuple[str, ...]


def build_design(samples: Samples) -> Design | None:
    """Return the model's design, or None when the group itself does not vary.

    Terms that are constant, or collinear with the group and the terms before them, are dropped: when every sample of
    one label is right and every sample of the other wrong, the label cannot be told from the group, and the label goes.
    """
    group = samples.is_a.astype(np.float64)
    if len(group) == 0 or group.min() == group.max():
        return None
    terms: dict[str, np.ndarray] = {name: column[:, None] for name, column in samples.covariates.items()}
    if samples.labels is not None:
        effects = _effect_coded(samples.labels)
        terms["predicted_label"] = effects
        terms["group:predicted_label"] = effects * group[:, None]
    kept = [np.ones_like(group)]
    names, dropped = ["1", "group"], []
    for name, columns in terms.items():
        fitting = [column for column in columns.T if _adds_rank([*kept, group], column)]
        if columns.shape[1] and len(fitting) == columns.shape[1] and _is_independent([*kept, group, *fitting]):
            kept.extend(fitting)
            names.append(name)
        else:
            dropped.append(name)
    basis, triangle = np.linalg.qr(np.column_stack([*kept, group]))
    scale = float(triangle[-1, -1])
    basis[:, -1] *= np.sign(scale)
    return Design(basis, abs(scale), tuple(names), tuple(dropped))


def _effect_coded(labels: np.ndarray) -> np.ndarray:
    """Return sum-to-zero columns ``[samples, levels - 1]``, centred at their sample means."""
    levels, codes = np.unique(labels.astype(str), return_inverse=True)
    columns = np.zeros((len(labels), max(len(levels) - 1, 0)))
    for level in range(len(levels) - 1):
        columns[codes == level, level] = 1.0
        columns[codes == len(levels) - 1, level] = -1.0
    return columns - columns.mean(axis=0) if len(columns) else columns


def _adds_rank(kept: list[np.ndarray], column: np.ndarray) -> bool:
    basis = np.linalg.qr(np.column_stack(kept))[0]
    outside = column - basis @ (basis.T @ column)
    return bool(np.linalg.norm(outside) > RANK_TOLERANCE * max(np.linalg.norm(column), np.finfo(float).tiny))


def _is_independent(columns: list[np.ndarray]) -> bool:
    matrix = np.column_stack(columns)
    matrix = matrix / np.linalg.norm(matrix, axis=0)
    return int(np.linalg.matrix_rank(matrix, tol=RANK_TOLERANCE)) == matrix.shape[1]


@dataclass(frozen=True)
class AdjustedEffects:
    """Average marginal effects of the group; each array ``[tests]``, NaN where undefined.

    Attributes
    ----------
    effect, standard_error, ci_low, ci_high
        In the statistic's unit, a minus b.
    statistic, pvalue
        effect / standard_error and its two-sided p by Student's t with clusters - 1 degrees of freedom.
    num_clusters
        Clusters with a value.
    method
        The model in words, with the terms that had to be dropped.
    note
        Why a p-value is missing, else an empty string.
    """

    effect: np.ndarray
    standard_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    statistic: np.ndarray
    pvalue: np.ndarray
    num_clusters: np.ndarray
    method: np.ndarray
    note: np.ndarray


def adjusted_effects(values: np.ndarray, samples: Samples, confidence: float = 0.95) -> AdjustedEffects:
    """Estimate the adjusted difference between the groups for every test.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value; such samples are left out of that test only.
    samples
        Group, cluster, predicted label and covariates.
    confidence
        Coverage of the interval.

    Returns
    -------
    AdjustedEffects
        Equal to statsmodels' ``OLS(...).fit(cov_type="cluster")`` with its default small-sample correction (CR1).
    """
    result = _empty_effects(values.shape[1])
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        num_clusters = len(np.unique(chosen.cluster))
        result.num_clusters[columns] = num_clusters
        design = build_design(chosen)
        reason = _why_untestable(chosen, design, num_clusters)
        if design is None or reason:
            result.note[columns] = reason
            continue
        result.method[columns] = _describe(design)
        _fill_effects(result, values[rows][:, columns], columns, design, chosen.cluster, confidence)
    return result


def _empty_effects(num_tests: int) -> AdjustedEffects:
    def missing() -> np.ndarray:
        return np.full(num_tests, np.nan)

    return AdjustedEffects(
        effect=missing(),
        standard_error=missing(),
        ci_low=missing(),
        ci_high=missing(),
        statistic=missing(),
        pvalue=missing(),
        num_clusters=np.zeros(num_tests, np.int64),
        method=np.full(num_tests, "", dtype=object),
        note=np.full(num_tests, "", dtype=object),
    )


def _why_untestable(samples: Samples, design: Design | None, num_clusters: int) -> str:
    if len(samples.is_a) == 0:
        return "no sample has a value"
    if design is None:
        return "only one group has values"
    if min(samples.is_a.sum(), (~samples.is_a).sum()) < 2:
        return "a group has fewer than two samples"
    if num_clusters < 2:
        return "fewer than two clusters"
    if design.basis.shape[0] <= design.basis.shape[1]:
        return "no more samples than terms in the model"
    return ""


def _describe(design: Design) -> str:
    text = f"OLS on {' + '.join(design.terms[1:])}; CR1 by cluster, t(clusters - 1)"
    return f"{text}; dropped as constant or collinear: {', '.join(design.dropped)}" if design.dropped else text


def _correction(design: Design, num_clusters: int) -> float:
    num_samples, num_columns = design.basis.shape
    return num_clusters / (num_clusters - 1) * (num_samples - 1) / (num_samples - num_columns)


def _fill_effects(
    result: AdjustedEffects,
    values: np.ndarray,
    columns: np.ndarray,
    design: Design,
    cluster: np.ndarray,
    confidence: float,
) -> None:
    codes = np.unique(cluster, return_inverse=True)[1]
    num_clusters = int(codes.max()) + 1
    loadings = design.basis.T @ values
    residuals = values - design.basis @ loadings
    scores = cluster_sums(design.basis[:, -1:] * residuals, codes)
    effect = loadings[-1] / design.scale
    error = np.sqrt(_correction(design, num_clusters) * (scores**2).sum(axis=0)) / design.scale
    constant = constant_columns(values)
    flat = ~constant & (np.abs(residuals).max(axis=0) <= 1e-12 * np.abs(values).max(axis=0))
    result.effect[columns] = np.where(constant, 0.0, effect)
    result.note[columns[constant]] = "the statistic is constant"
    result.note[columns[flat]] = "nothing varies beyond the model's terms"
    usable = ~constant & ~flat & (error > 0)
    columns, effect, error = columns[usable], effect[usable], error[usable]
    statistic = effect / error
    reach = stats.t.ppf(0.5 + confidence / 2, num_clusters - 1) * error
    result.standard_error[columns], result.statistic[columns] = error, statistic
    result.ci_low[columns], result.ci_high[columns] = effect - reach, effect + reach
    result.pvalue[columns] = 2 * stats.t.sf(np.abs(statistic), num_clusters - 1)


def random_signs(num_permutations: int, num_clusters: int, seed: int) -> np.ndarray:
    """Return ``[permutations, clusters]`` of -1 and 1, each with probability one half."""
    return np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(num_permutations, num_clusters))


def permutation_maxima(values: np.ndarray, samples: Samples, signs: np.ndarray) -> np.ndarray:
    """Return the largest |T*| over the tests under each set of signs.

    With an orthonormal basis Q of the model (its last column q the group's own part), residuals e of the model without
    the group and signs s, both T*'s numerator qᵀ(s·e) and its clustered error are linear or quadratic in the signs:
    with U_g = Σ_{i∈g} q_i e_i, w = Qᵀ(s·e) and D_g = Σ_{i∈g} q_i Q_i, the score of cluster g is s_g U_g - D_g w. So a
    block of tests needs only products of the signs with sums over clusters.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    samples
        As for ``adjusted_effects``; cluster codes index the columns of ``signs``.
    signs
        ``[permutations, clusters]`` as from ``random_signs``; the same array for every part of a family.

    Returns
    -------
    ndarray
        ``[permutations]``; 0 where nothing could be tested. The maximum over a family that is processed in parts is
        the elementwise maximum of the parts' results.
    """
    maxima = np.zeros(len(signs))
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        present, codes = np.unique(chosen.cluster, return_inverse=True)
        design = build_design(chosen)
        if design is None or _why_untestable(chosen, design, len(present)):
            continue
        for start in range(0, len(columns), PERMUTATION_BLOCK):
            block = values[rows][:, columns[start : start + PERMUTATION_BLOCK]]
            block = block[:, ~constant_columns(block)]
            if block.shape[1]:
                maxima = np.maximum(maxima, _block_maxima(block, design, codes, signs[:, present]))
    return maxima


def _block_maxima(values: np.ndarray, design: Design, codes: np.ndarray, signs: np.ndarray) -> np.ndarray:
    basis, num_columns, num_tests = design.basis, design.basis.shape[1], values.shape[1]
    nuisance, group = basis[:, :-1], basis[:, -1]
    residuals = values - nuisance @ (nuisance.T @ values)
    # Scores divided by their size: T* has no unit, and squares of small masses stay far from underflow.
    residuals = residuals / np.maximum(np.abs(residuals).max(axis=0), np.finfo(np.float64).tiny)
    sums = np.stack([cluster_sums(column[:, None] * residuals, codes) for column in basis.T])
    overlap = cluster_sums(group[:, None] * basis, codes)
    scores = sums[-1]
    crossed = scores[None] * overlap.T[:, :, None]
    stacked = np.concatenate([sums, crossed]).transpose(1, 0, 2).reshape(signs.shape[1], -1)
    products = (signs @ stacked).reshape(len(signs), 2 * num_columns, num_tests)
    loadings, cross = products[:, :num_columns], products[:, num_columns:]
    quadratic = (overlap.T @ overlap) @ loadings
    variance = (scores**2).sum(axis=0) + ((quadratic - 2 * cross) * loadings).sum(axis=1)
    variance *= _correction(design, len(overlap))
    floor = 1e-12 * (scores**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(variance > floor, np.abs(loadings[:, -1]) / np.sqrt(variance), 0.0)
    return statistic.max(axis=1)


def max_t_pvalues(statistic: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return (1 + number of maxima at least |statistic|) / (permutations + 1); NaN stays NaN."""
    ordered = np.sort(maxima)
    exceeding = len(ordered) - np.searchsorted(ordered, np.abs(statistic) * (1 - 1e-12), side="left")
    return np.where(np.isnan(statistic), np.nan, (1 + exceeding) / (len(ordered) + 1))
